"""An anchor in an S3 bucket with Object Lock: one object for each head, that nobody may remove before its time.

Rules kept here: every head is written with a retention in compliance mode; the list is read by versions, so that a
delete marker or a later version hides nothing; credentials come only from the AWS environment or profile. Who is
trusted: the provider, and whoever owns the bucket's account until the retention ends.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from itmp.adapters.anchors.folder import check_continues, slug
from itmp.anchors import AnchorError, Prove
from itmp.audit import SignedCheckpoint
from itmp.audit.checkpoint import MAX_NOTE
from itmp.errors import ToolMissingError
from itmp.signing import NoteVerifier

KEPT: Final = 16
_SECONDS: Final = 3
_PAGE: Final = 1000


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
        held = self.held({})
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

    def held(self, kept: Mapping[str, bytes]) -> Sequence[bytes]:  # noqa: ARG002 - all that it knows lies there
        """Return every version of the objects with the greatest sizes."""
        with _translated(self._where):
            client = self._client()
            found = [
                (version["Key"], version["VersionId"])
                for page in client.get_paginator("list_object_versions").paginate(
                    Bucket=self._bucket, Prefix=self._prefix, PaginationConfig={"PageSize": _PAGE}
                )
                for version in page.get("Versions", [])
            ]
            newest = sorted({key for key, _ in found})[-KEPT:]
            return [self._read(client, *one) for one in found if one[0] in newest]

    def _read(self, client: Any, key: str, version: str) -> bytes:
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
