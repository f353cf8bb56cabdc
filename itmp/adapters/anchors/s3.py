"""An anchor in an S3 bucket with Object Lock: one object for each head, that nobody may remove before its time.

Rules kept here: every head is written with a retention in compliance mode; the list is read by versions, so that a
delete marker or a later version hides nothing; an object counts only when its key's size is that of a head in it which
the log signed, and whatever else lies above such heads is passed over on the way down to them; credentials come only
from the AWS environment or profile. Who is trusted: the provider, and whoever owns the bucket's account until the
retention ends. Whoever may write there can add objects, but hides no head behind them: beyond `LOOKED` it is flooded.
"""

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from heapq import nlargest
from typing import Any, Final

from itmp.adapters.anchors.folder import check_continues, slug
from itmp.anchors import AnchorError, AnchorFloodedError, Prove
from itmp.audit import SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.errors import Error, ToolMissingError
from itmp.signing import NoteVerifier

KEPT: Final = 16
"""Sizes that are enough: the greatest that hold a head of the log."""
LOOKED: Final = 128
"""Versions that are read for them. An honest bucket holds one for each head, and one more for each witness's line."""
PAGES: Final = 250
"""Pages of the list that are read: 685 heads a day for a year."""
_PAGE: Final = 1000
_SECONDS: Final = 3
_FILE: Final = re.compile(r"([0-9]{19})\.note\Z", re.ASCII)


class S3Anchor:
    """Objects `<prefix><log>/<size>.note` of `bucket`, locked for `days`. Keeps the contract of `Anchor`."""

    kind = "s3"
    remark = ""

    def __init__(
        self, name: str, *, log: NoteVerifier, bucket: str, region: str, endpoint: str = "", days: int = 400
    ) -> None:
        self.name, self._log, self._bucket = name, log, bucket
        self._where, self._region, self._endpoint, self._days = (
            f"s3://{bucket}/{slug(log)}/",
            region,
            endpoint,
            days,
        )
        self._prefix = f"{slug(log)}/"

    def put(self, head: SignedCheckpoint, prove: Prove) -> Mapping[str, bytes]:
        """Write the head under lock, unless a version of it is here; return `NAME.version`, its version id."""
        held = list(self.held({}))
        check_continues(held, self._log, head, prove, self._where)
        if head.note in held:
            return {}
        until = datetime.now(UTC) + timedelta(days=self._days)
        with _translated(self._where):
            answer = self._client().put_object(
                Bucket=self._bucket,
                Key=f"{self._prefix}{head.checkpoint.size:019d}.note",
                Body=head.note,
                ChecksumAlgorithm="SHA256",
                ObjectLockMode="COMPLIANCE",
                ObjectLockRetainUntilDate=until,
            )
        version = str(answer.get("VersionId", ""))
        if not version:
            raise AnchorError("the bucket keeps no versions: its objects can be replaced", where=self._where)
        return {f"{self.name}.version": f"{version}\n".encode()}

    def held(self, kept: Mapping[str, bytes]) -> Iterator[bytes]:  # noqa: ARG002 - all that it knows lies there
        """Yield what lies there from the greatest size down, until `KEPT` sizes have a head; no bytes for no head."""
        sizes = set[int]()
        with _translated(self._where):
            client = self._client()
            for looked, (size, _, version) in enumerate(self._greatest(client)):
                if len(sizes) == KEPT and size not in sizes:
                    return
                if looked == LOOKED:
                    raise self._flooded(f"{LOOKED} versions hold heads of {len(sizes)} sizes alone")
                note = self._read(client, size, version)
                if self._is_head(note, size):
                    sizes.add(size)
                    yield note
                else:
                    yield b""

    def _greatest(self, client: Any) -> list[tuple[int, int, str]]:
        """Return size, age and id of the versions that matter: the greatest sizes first, of one size the oldest."""
        return nlargest(LOOKED + 1, self._listed(client))

    def _listed(self, client: Any) -> Iterator[tuple[int, int, str]]:
        pages = client.get_paginator("list_object_versions").paginate(
            Bucket=self._bucket, Prefix=self._prefix, PaginationConfig={"PageSize": _PAGE}
        )
        for at, page in enumerate(pages):
            if at == PAGES:
                raise self._flooded(f"its list has more than {PAGES * _PAGE} lines")
            for age, one in enumerate(page.get("Versions", []), at * _PAGE):
                found = _FILE.fullmatch(one["Key"].removeprefix(self._prefix))
                if found:
                    yield int(found[1]), age, one["VersionId"]

    def _is_head(self, note: bytes, size: int) -> bool:
        try:
            return SignedCheckpoint.open(note, [self._log]).checkpoint.size == size
        except Error:
            return False

    def _flooded(self, what: str) -> AnchorFloodedError:
        return AnchorFloodedError(f"filled with what is no head of this log: {what}", where=self._where)

    def _read(self, client: Any, size: int, version: str) -> bytes:
        key = f"{self._prefix}{size:019d}.note"
        answer = client.get_object(Bucket=self._bucket, Key=key, VersionId=version)
        data: bytes = answer["Body"].read(MAX_NOTE + 1)
        return data

    def _client(self) -> Any:
        try:
            import boto3  # noqa: PLC0415 - needs the aws extra
            from botocore.config import Config  # noqa: PLC0415 - as above
        except ImportError as error:
            raise ToolMissingError("boto3 is not installed", do="pip install 'itmp[aws]'") from error
        bounded = Config(connect_timeout=_SECONDS, read_timeout=_SECONDS, retries={"total_max_attempts": 1})
        return boto3.client(
            "s3", region_name=self._region or None, endpoint_url=self._endpoint or None, config=bounded
        )


class _translated:  # noqa: N801 - read as a word in `with`
    """Turn what boto3 raises into `AnchorError`."""

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if error is not None and type(error).__module__.partition(".")[0] in {"botocore", "boto3", "urllib3"}:
            raise AnchorError(f"S3 refuses: {error}", where=self._where) from error
