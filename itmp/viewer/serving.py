"""The web application: read-only pages over one workspace.

Rules kept here: only GET and HEAD, and no page signs or publishes a head: whoever can open one, or have a browser open
it, moves nothing; only loopback names are answered (another site's name that was pointed here is not);
each answer forbids scripts, frames and every source but itself, and is never stored by anybody between; an error is a
page that says what to do, and shows no more than an `Error` does.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Final

from fastapi import FastAPI, Query, Request, Response
from fastapi import Path as PathParameter
from fastapi.responses import HTMLResponse
from starlette.middleware.trustedhost import TrustedHostMiddleware

from itmp.errors import BusyError, Error, InvalidInputError, NotFoundError
from itmp.evidence import Trust
from itmp.viewer.account import Account, account, line
from itmp.viewer.rendering import page, prepare, report, style, values_of
from itmp.workspace import (
    Workspace,
    audit_access,
    audit_show,
    browse,
    browse_exceptions,
    browse_one,
    of_period,
    periods_of,
)

HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
PAGE: Final = 25
"""Changes on one page: each is folded with every signature verified, so this is what a page costs."""
NAMES: Final = ("localhost", "127.0.0.1", "[::1]")
_LONGEST: Final = 200
_MOST_PORT: Final = 65535
Text = Annotated[str, Query(max_length=_LONGEST)]
Number = Annotated[int, Query(ge=0, le=10**9)]


def application(place: Workspace, *, trust: Trust | None = None) -> FastAPI:
    """Return the application over `place`; proofs are judged against `trust`, else against the log's own word."""
    app = FastAPI(title="itmp", docs_url=None, redoc_url=None, openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(NAMES), www_redirect=False)
    app.middleware("http")(_guarded)
    app.exception_handler(Error)(_explained)
    pages = _Pages(place.for_reading(), trust)
    pages.warm()
    pages.register(app)
    return app


def check_address(listen: str) -> tuple[str, int]:
    """Read `HOST:PORT`; raise `InvalidInputError` for anything but a loopback address."""
    host, _, port = listen.rpartition(":")
    host = host.strip("[]")
    if not port.isascii() or not port.isdigit() or int(port) > _MOST_PORT or _address(host) is None:
        raise InvalidInputError(f"no address: {listen!r:.60}", do="Write 127.0.0.1:8417.")
    if not ipaddress.ip_address(host).is_loopback:
        raise InvalidInputError(
            f"{host} is not a loopback address",
            do="Pages are served here without a login. Put a proxy with one in front, or forward the port by ssh.",
        )
    return host, int(port)


@contextmanager
def listening(listen: str) -> Iterator[tuple[socket.socket, str]]:
    """Listen on `HOST:PORT`; yield the socket and the address, whose port is the one that was free for port 0."""
    host, port = check_address(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        opened = socket.create_server((host, port), family=family)
    except OSError as error:
        raise BusyError(
            f"cannot listen there: {error.strerror}", where=listen, do="Choose another: --listen 127.0.0.1:0"
        ) from error
    with opened:
        shown = f"[{host}]" if ":" in host else host
        yield opened, f"{shown}:{opened.getsockname()[1]}"


def _address(host: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


async def _guarded(request: Request, follow: Callable[[Request], Awaitable[Response]]) -> Response:
    answer = await follow(request) if request.method in {"GET", "HEAD"} else Response("read-only\n", 405)
    answer.headers.update(HEADERS)
    return answer


def _explained(_: Request, error: Exception) -> HTMLResponse:
    status = 404 if isinstance(error, NotFoundError) else 400 if isinstance(error, InvalidInputError) else 500
    return HTMLResponse(page("error.html", error=error, base=""), status)


class _Pages:
    """One method a page; each runs in a thread of its own, reads, and returns text.

    A list is of one period, and says of which and where the others are.
    """

    def __init__(self, place: Workspace, trust: Trust | None) -> None:
        self._place, self._trust = place, trust
        self._periods = periods_of(place)
        self._opened = {self._periods.current: place}

    def warm(self) -> None:
        """Open the log, bring the search index up to date and read the templates, so that no page waits for that."""
        prepare()
        self._place.history()
        self._place.log.changes()
        self._place.reading().close()

    def register(self, app: FastAPI) -> None:
        """Bind each page to its path."""
        pages: Mapping[str, Callable[..., object]] = {
            "/": self.population,
            "/changes/{name}": self.change,
            "/changes/{name}/report": self.report,
            "/leaves/{index}": self.leaf,
            "/exceptions": self.exceptions,
            "/access": self.access,
            "/log": self.log,
        }
        for path, answer in pages.items():
            app.add_api_route(path, answer, methods=["GET"], response_class=HTMLResponse)
        app.get("/style.css")(lambda: Response(style(), media_type="text/css"))

    def population(
        self, q: Text = "", start: Text = "", end: Text = "", at: Number = 0, period: Text = ""
    ) -> str:
        """List changes, newest first; the rows shown are folded from their raw leaves."""
        place, told = self._of(period)
        found = browse(place, words=q, opened=(start, end), skip=at, limit=PAGE)
        asked = {"q": q, "start": start, "end": end, **told}
        return self._page("population.html", period, found=found, at=at, size=PAGE, asked=asked)

    def change(self, name: str, at: Number = 0) -> str:
        """Tell one change."""
        found = self._account(name, at)
        return self._page("change.html", found.period, **values_of(found))

    def report(self, name: str) -> HTMLResponse:
        """Give the same as one file."""
        found = self._account(name, 0)
        attached = {"Content-Disposition": f'attachment; filename="{found.case.id}.html"'}
        return HTMLResponse(report(found), headers=attached)

    def leaf(self, index: Annotated[int, PathParameter(ge=0, le=10**9)], period: Text = "") -> str:
        """Show one event, exactly as logged."""
        found = audit_show(self._of(period)[0], str(index))
        return self._page("leaf.html", period, leaf=found, line=line(found), text=found.data.decode())

    def exceptions(self, start: Text = "", end: Text = "", at: Number = 0, period: Text = "") -> str:
        """List where a control did less than usual, newest first."""
        place, told = self._of(period)
        found = browse_exceptions(place, start=start, end=end, skip=at, limit=PAGE)
        asked = {"start": start, "end": end, **told}
        return self._page("exceptions.html", period, found=found, at=at, size=PAGE, asked=asked)

    def access(self, period: Text = "") -> str:
        """Say who may do what."""
        return self._page("access.html", period, grants=audit_access(self._of(period)[0]))

    def log(self, period: Text = "") -> str:
        """Show the log's newest signed head, what it rests on, and how many events it does not cover."""
        place = self._of(period)[0]
        log, history = place.log, place.history()
        return self._page(
            "log.html",
            period,
            origin=log.origin,
            head=log.published(),
            size=log.size(),
            vkey=log.vkey,
            genesis=history.genesis,
            trust=self._trust,
        )

    def _page(self, template: str, period: str, **values: object) -> str:
        """Render a page of one period, which it names where there are others."""
        where = replace(self._periods, name=period or self._periods.current)
        return page(template, base="", where=where, **values)

    def _of(self, period: str) -> tuple[Workspace, dict[str, str]]:
        """Return the workspace in a period (empty: the current one), and what links within it must say."""
        name = period or self._periods.current
        if name not in self._opened:
            self._opened[name] = of_period(self._place, name)
        return self._opened[name], {"period": name} if name != self._periods.current else {}

    def _account(self, name: str, at: int) -> Account:
        return account(self._place, browse_one(self._place, name), trust=self._trust, start=at)
