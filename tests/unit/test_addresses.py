"""Web addresses: what is sent to them, and that nothing secret in them is ever shown."""

import base64
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.addresses import below, is_web_address, shown, web_address, without_secrets

SECRET = "s3cr3t-T0KEN"


@pytest.mark.parametrize(
    ("word", "seen"),
    [
        ("https://hooks.example.com/services/T0/B0/s3cr3t-T0KEN", "https://hooks.example.com/..."),
        ("https://example.com/?token=s3cr3t-T0KEN", "https://example.com/..."),
        ("https://me:s3cr3t-T0KEN@example.com:8443", "https://example.com:8443"),
        ("https://s3cr3t-T0KEN@example.com/", "https://example.com/"),
        ("http://[::1]:9090/#s3cr3t-T0KEN", "http://[::1]:9090/..."),
        ("HTTPS://me:s3cr3t-T0KEN@EXAMPLE.com/x", "https://EXAMPLE.com/..."),
        # a / or # in a password: which part is the host cannot be told
        ("https://me:s3cr3t-T0KEN/x@example.com/", "https://..."),
        ("https://s3cr3t-T0KEN#x@example.com/", "https://..."),
        ("https://me:s3cr3t-T0KEN", "https://..."),
        ("http://[s3cr3t-T0KEN", "http://..."),
        ("http://", "http://..."),
    ],
)
def test_only_scheme_and_host_are_shown(word: str, seen: str) -> None:
    assert shown(word) == seen


@pytest.mark.parametrize(
    ("login", "sent"),
    [
        ("me:word", "me:word"),
        ("me:a%40b%2Fc%3A", "me:a@b/c:"),
        ("me@here:word", "me@here:word"),
        ("token", "token:"),
        ("m%C3%A9:w%FF", b"m\xc3\xa9:w\xff"),
        (":word", ":word"),
    ],
)
def test_a_login_becomes_a_header_and_leaves_the_address(login: str, sent: str | bytes) -> None:
    address = web_address(f"https://{login}@example.com:8443/a/b?c=d#e")
    assert address.url == "https://example.com:8443/a/b?c=d"
    coded = sent.encode() if isinstance(sent, str) else sent
    assert address.authorization == f"Basic {base64.b64encode(coded).decode()}"
    assert repr(address) == "WebAddress(shown='https://example.com:8443/...')"


@pytest.mark.parametrize(
    "word", ["https://", "https://me:s3cr3t-T0KEN", "https://me:s3cr3t-T0KEN#@x/", "http://x/ y", "http://x:0/", "x"]
)
def test_what_is_no_address_is_refused_without_repeating_it(word: str) -> None:
    with pytest.raises(ValueError, match="write special characters of a user or password as %XX") as refused:
        web_address(word)
    assert SECRET not in str(refused.value)


def test_an_address_below_another_keeps_its_query() -> None:
    assert below("https://x/mimir/?tenant=a", "api/v1", step=15) == "https://x/mimir/api/v1?tenant=a&step=15"
    assert below("https://x", "api/v1") == "https://x/api/v1"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("'http://x/y'", "'http://x/...'"),
        ("see http://x:80/.", "see http://x:80/."),
        ("(http://x), then", "(http://x), then"),
        ("http://x/a'b", "http://x/..."),
        ("nothing", "nothing"),
    ],
)
def test_a_text_keeps_what_is_around_an_address(text: str, seen: str) -> None:
    assert without_secrets(text) == seen


def test_secrets_in_the_words_of_others_are_left_out() -> None:
    said = f"curl: (22) https://me:{SECRET}@x/y?token={SECRET} said 'Bearer {SECRET}' to Authorization: Basic {SECRET}"
    assert without_secrets(said) == "curl: (22) https://x/... said 'Bearer ***' to Authorization: Basic ***"


@given(
    st.sampled_from(["user", "password", "path", "query", "fragment"]),
    st.text(st.characters(codec="utf-8", exclude_categories=("C", "Z")), min_size=1, max_size=8),
)
def test_no_part_but_the_host_is_shown_whatever_is_in_it(place: str, noise: str) -> None:
    parts = dict.fromkeys(("user", "password", "path", "query", "fragment"), "") | {place: noise + SECRET}
    word = "https://{user}:{password}@example.com/{path}?{query}#{fragment}".format(**parts)
    assert is_web_address(word)
    assert SECRET not in shown(word)
    assert SECRET not in without_secrets(f"see {word}")
    with suppress(ValueError):
        assert SECRET not in repr(web_address(word))
