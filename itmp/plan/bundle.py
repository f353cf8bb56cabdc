"""The plan as a whole: manifest, its exact bytes, and the artifacts behind its digests.

Rules kept here: the digest is the sha256 of the manifest's bytes as given, never of a re-encoding; an
artifact is checked against its digest whenever it is read.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from itmp import canonical
from itmp.canonical import Digest
from itmp.errors import NotFoundError, StaleError
from itmp.plan.codec import decode, encode
from itmp.plan.model import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A compiled plan. Two plans are equal when their digests are."""

    manifest: Manifest = field(compare=False, repr=False)
    manifest_bytes: bytes = field(compare=False, repr=False)
    artifacts: Mapping[Digest, bytes] = field(compare=False, repr=False)
    digest: Digest

    @classmethod
    def build(cls, manifest: Manifest, artifacts: Mapping[str, bytes]) -> "Plan":
        """Return the plan of `manifest` whose artifacts are exactly `artifacts` (path to bytes)."""
        paths = {path: canonical.digest(data) for path, data in sorted(artifacts.items())}
        manifest = replace(manifest, artifacts=paths)
        data = encode(manifest)
        blobs = {paths[path]: content for path, content in artifacts.items()}
        return cls(manifest=manifest, manifest_bytes=data, artifacts=blobs, digest=canonical.digest(data))

    @classmethod
    def from_bytes(cls, manifest_bytes: bytes, blob: Callable[[Digest], bytes]) -> "Plan":
        """Return the plan whose artifacts `blob` hands out; each is checked when it is read, not before."""
        manifest = decode(manifest_bytes)
        blobs = _Blobs(manifest.artifacts, blob)
        return cls(
            manifest=manifest,
            manifest_bytes=manifest_bytes,
            artifacts=blobs,
            digest=canonical.digest(manifest_bytes),
        )

    def artifact(self, path: str) -> bytes:
        """Return the bytes at an artifact path."""
        if path not in self.manifest.artifacts:
            raise NotFoundError(f"the plan has no artifact {path!r:.200}")
        return self.artifacts[self.manifest.artifacts[path]]


class _Blobs(Mapping[Digest, bytes]):
    """Artifacts read on demand; wrong bytes raise `StaleError` with the digest and the path."""

    def __init__(self, paths: Mapping[str, Digest], blob: Callable[[Digest], bytes]) -> None:
        self._paths = {value: path for path, value in sorted(paths.items(), reverse=True)}
        self._blob = blob

    def __getitem__(self, key: Digest) -> bytes:
        path = self._paths[key]
        data = self._blob(key)
        if canonical.digest(data) != key:
            raise StaleError(
                f"the artifact {path!r:.200} is not the one in the plan",
                where=f"blobs/{key}",
                do="Restore the plan.",
            )
        return data

    def __iter__(self) -> Iterator[Digest]:
        return iter(sorted(self._paths))

    def __len__(self) -> int:
        return len(self._paths)
