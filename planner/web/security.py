"""Who may ask, and what a browser may do with an answer.

The page listens on 127.0.0.1 unless it is told otherwise, and beyond that asks for a token. A page of another site must
reach nothing: its name of this machine is refused, its forms are refused, and no answer can be read by its scripts.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.cookies import SimpleCookie
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "planner_token"
MOST_BODY_BYTES = 65_536
"""Of a form. Assumed: a long query of SQL."""
MOST_UPLOAD_BYTES = 2 * 1024**3
"""Of a log that is uploaded. Assumed: larger ones are imported by `planner trace import` on the machine."""
UPLOAD = "/traces/upload"
"""The address that takes logs."""

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
"""Of every answer."""
_OPEN = ("/healthz", "/favicon.ico")
"""Addresses that tell nothing of a plan: for what watches the service, and for what browsers ask by themselves."""
_LOCAL = ("127.0.0.1", "localhost", "[::1]")
_WRITES = ("POST", "PUT", "PATCH", "DELETE")


@dataclass(frozen=True, kw_only=True)
class Access:
    """Who may ask.

    Attributes:
        hosts: Names of this server, as the header Host has them, without the port.
        token: What has to be known; None where this machine alone can ask.
    """

    hosts: tuple[str, ...] = _LOCAL
    token: str | None = field(default=None, repr=False)

    def knows(self, headers: Headers) -> bool:
        """Whether a request comes with the token, in the header Authorization or as a cookie."""
        if self.token is None:
            return True
        cookies = SimpleCookie()
        try:
            cookies.load(headers.get("cookie", ""))
        except Exception:  # noqa: BLE001  whatever is wrong with a cookie, it is not the token
            return False
        given = [morsel.value for name, morsel in cookies.items() if name == COOKIE]
        kind, _, told = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given.append(told.strip())
        return any(self.is_token(each) for each in given)

    def is_token(self, text: str) -> bool:
        return self.token is not None and secrets.compare_digest(text.encode(), self.token.encode())


class Guard:
    """Refuses who may not ask before anything else looks at a request, and adds the headers of every answer."""

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app, self._access = app, access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, guarded)
        else:
            await self._app(scope, _bounded(scope, receive), guarded)

    def _refused(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _without_port(host) not in self._access.hosts:
            return PlainTextResponse("this is not a name of this server; start it with --host NAME to add one\n", 400)
        if not scope["query_string"].isascii():
            return PlainTextResponse("the address cannot be read; go back to the first page\n", 400)
        if scope["method"] in _WRITES and not _is_own_page(headers, host):
            return PlainTextResponse("refused: the form is not one of this page\n", 403)
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length) > most_bytes(scope):
            return PlainTextResponse(f"refused: at most {most_bytes(scope):,} bytes are taken here\n", 413)
        if scope["path"] in _OPEN or self._access.knows(headers):
            return None
        return self._ask_for_token(scope)

    def _ask_for_token(self, scope: Scope) -> Response:
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        given = [text for key, text in pairs if key == "token"]
        if not (scope["method"] == "GET" and given and self._access.is_token(given[-1])):
            return PlainTextResponse(
                "a token is needed: open this address with ?token=... once, or send it as Authorization: Bearer ...\n",
                401,
                {"WWW-Authenticate": "Bearer"},
            )
        rest = urlencode([(key, text) for key, text in pairs if key != "token"])
        # as a path of this server, whatever it begins with
        path = "/" + scope["path"].lstrip("/\\")
        answer = RedirectResponse(f"{path}?{rest}" if rest else path, 303)
        assert self._access.token is not None
        answer.set_cookie(
            COOKIE, self._access.token, httponly=True, samesite="strict", secure=scope["scheme"] == "https"
        )
        return answer


class TooLarge(Exception):
    """A body that goes on beyond its bound."""


def most_bytes(scope: Scope) -> int:
    """How long the body of a request may be."""
    return MOST_UPLOAD_BYTES if scope["path"] == UPLOAD else MOST_BODY_BYTES


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """A body that is not told its length is counted as it comes."""
    left = most_bytes(scope)

    async def counted() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            raise TooLarge
        return message

    return counted


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()


def _is_own_page(headers: Headers, host: str) -> bool:
    """Whether a form or script of this server sent a request, or no browser did: those tell where they come from."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site not in (None, "same-origin", "none"):
        return False
    return origin is None or urlsplit(origin).netloc.lower() == host.lower()
