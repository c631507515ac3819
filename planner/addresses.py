"""Web addresses: the login in them, and how they are shown without what is secret.

An address may hold a secret in each of its parts: a login before the host, a token in the path, as those of webhooks
are, or in the query. So only its scheme and host are ever shown, in messages, logs, notes and stored tables.
"""

import base64
import re
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote_to_bytes, urlencode, urlsplit, urlunsplit

_MORE = "..."
"""Stands for what is not shown of an address."""
_IN_TEXT = re.compile(r"(https?://\S*?)([\"'>)\].,;:]*(?=\s|$))", re.IGNORECASE)
_BLANK = re.compile(r"[\x00-\x20\x7f]")
_CREDENTIALS = re.compile(r"\b(Bearer|Basic|Token)\s+[^\s\"',;]+", re.IGNORECASE)


@dataclass(frozen=True)
class WebAddress:
    """An address as it is called.

    url: without login and fragment; it may hold a token, so it is never shown. authorization: the value of the header,
    from the login; None without one. shown: scheme and host.
    """

    url: str = field(repr=False)
    authorization: str | None = field(repr=False)
    shown: str


def is_web_address(word: str) -> bool:
    """Whether a word is meant as the address of a server."""
    return word.lower().startswith(("http://", "https://"))


def web_address(word: str) -> WebAddress:
    """An address and its login, whose characters may be written as %XX. Raises ValueError without its text."""
    parts = _parts(word)
    if parts is None:
        raise ValueError(
            "is not a web address with a host, and a number as its port if it has one; write special characters of a "
            "user or password as %XX, such as %40 for @ and %2F for /"
        )
    login, at, host = parts.netloc.rpartition("@")
    authorization = None
    if at:
        word = base64.b64encode(unquote_to_bytes(login if ":" in login else f"{login}:")).decode()
        authorization = f"Basic {word}"
    return WebAddress(urlunsplit(parts._replace(netloc=host, fragment="")), authorization, shown(parts.geturl()))


def below(url: str, path: str, **words: object) -> str:
    """An address below another one; words are added to its query."""
    parts = urlsplit(url)
    query = "&".join(filter(None, (parts.query, urlencode(words))))
    return urlunsplit(parts._replace(path=f"{parts.path.rstrip('/')}/{path}", query=query))


def shown(word: str) -> str:
    """An address for people: its scheme and host, without login, path, query and fragment."""
    parts = _parts(word)
    # a / or # in a password ends what is taken to be the host: then it cannot be told which part is secret
    if parts is None or ("@" not in parts.netloc and "@" in word):
        return f"{word.partition('://')[0]}://{_MORE}"
    host = parts.netloc.rpartition("@")[2]
    more = "" if parts.path in ("", "/") and not parts.query and not parts.fragment else f"/{_MORE}"
    return f"{parts.scheme}://{host}{more or parts.path}"


def without_secrets(text: str) -> str:
    """A text of others, such as what a program or a server says, in which addresses and credentials are not shown."""
    text = _IN_TEXT.sub(lambda found: shown(found[1]) + found[2], text)
    return _CREDENTIALS.sub(lambda found: f"{found[1]} ***", text)


def _parts(word: str) -> SplitResult | None:
    """The parts of an address; None if it has no host, or one that cannot be told from a login."""
    try:
        parts = urlsplit(word)
        port = parts.port
    except ValueError:
        return None
    if not is_web_address(word) or not parts.hostname or port == 0 or _BLANK.search(word):
        return None
    return parts
