"""One HTTP POST, bounded: no redirect, no proxy, a short wait, a small answer."""

from typing import Final
from urllib.parse import urlsplit

from itmp.anchors import AnchorError
from itmp.errors import InvalidInputError

SECONDS: Final = 3.0
_MAX_ANSWER: Final = 64 * 1024


def check_url(url: str, where: str) -> str:
    """Return `url`; raise `InvalidInputError` unless it is one of http or https with a host."""
    try:
        parts = urlsplit(url)
        fine = parts.scheme in {"http", "https"} and parts.hostname and not parts.query and not parts.fragment
        _ = parts.port
    except ValueError:
        fine = False
    if not fine or not url.isascii() or not url.isprintable():
        raise InvalidInputError(f"not an http or https address: {url!r:.120}", where=where)
    return url


def post(url: str, body: bytes, *, type: str) -> tuple[int, bytes]:  # noqa: A002 - HTTP's own word
    """Post `body`; return status and answer. `AnchorError` when nobody answers in time or too much comes back."""
    import http.client  # noqa: PLC0415 - it brings TLS along, and few logs post: a check of a log starts without

    parts = urlsplit(url)
    opened = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = opened(parts.hostname or "", parts.port, timeout=SECONDS)
    try:
        connection.request("POST", parts.path or "/", body=body, headers={"Content-Type": type})
        answer = connection.getresponse()
        data = answer.read(_MAX_ANSWER + 1)
    except (OSError, http.client.HTTPException) as error:
        raise AnchorError(f"no answer: {error}", where=url, do="It is asked again next time.") from error
    finally:
        connection.close()
    if len(data) > _MAX_ANSWER:
        raise AnchorError(f"an answer of more than {_MAX_ANSWER} bytes", where=url)
    return answer.status, data
