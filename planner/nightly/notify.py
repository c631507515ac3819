"""The ways in which notifications leave: a command and a web address, each of which gets a JSON document."""

import http.client
import os
import re
import signal
import subprocess
import threading
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import suppress
from socket import SHUT_RDWR, socket
from typing import Any, Literal

from planner.addresses import web_address, without_secrets
from planner.nightly.jobs_file import NotifySettings

Channel = Literal["command", "url"]

_LEAST_SECRET = 6
_SHOWN = 200
"""Characters of what a program says about its failure."""


def channels(settings: NotifySettings) -> dict[Channel, Callable[[str], str | None]]:
    """The configured ways. Each is given a document and returns what went wrong, in one line without secrets."""
    ways: dict[Channel, Callable[[str], str | None]] = {}
    if settings.command:
        ways["command"] = lambda text: _run_command(settings, text)
    if url := settings.url:
        ways["url"] = lambda text: _post(url, settings.timeout_s, text)
    return ways


def _run_command(settings: NotifySettings, text: str) -> str | None:
    name = f"notify.command {without_secrets(settings.command[0])}"
    try:
        code, said = _run(settings, text)
    except (OSError, ValueError) as error:
        # the operating system's message names the program, and ValueError what is wrong with an argument
        return f"{name}: {without_secrets(str(error))}"
    except subprocess.TimeoutExpired:
        return f"{name}: timed out after {settings.timeout_s:g} seconds"
    if code:
        return f"{name}: exit code {code}: {_hidden(said.strip(), settings.command[1:])[-_SHOWN:]}"
    return None


def _hidden(said: str, arguments: Sequence[str]) -> str:
    """What a program says, without the arguments that may hold a token: headers, options with a value, addresses."""
    for argument in arguments:
        value = re.split(r"[:=]\s*", argument)[-1]
        if value != argument:
            for secret in (argument, value):
                said = said.replace(secret, "***") if len(secret) >= _LEAST_SECRET else said
    return without_secrets(said)


def _run(settings: NotifySettings, text: str) -> tuple[int, str]:
    """The exit code of the program, and what it wrote to stderr. Raises OSError, ValueError, TimeoutExpired."""
    with subprocess.Popen(
        settings.command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        start_new_session=True,
    ) as program:
        try:
            said = program.communicate(text, settings.timeout_s)[1]
        except subprocess.TimeoutExpired:
            if program.poll() is not None:
                # it has ended; something that it began still holds its output
                return program.returncode, ""
            raise
        finally:
            if program.poll() is None:
                with suppress(ProcessLookupError):
                    os.killpg(program.pid, signal.SIGKILL)
        return program.returncode, said


def _post(url: str, timeout_s: float, text: str) -> str | None:
    address = web_address(url)
    headers = {"Content-Type": "application/json"}
    if address.authorization is not None:
        headers["Authorization"] = address.authorization
    request = urllib.request.Request(address.url, data=text.encode(), headers=headers, method="POST")
    deadline = _Deadline(timeout_s)
    why = ""
    try:
        with deadline, deadline.opener.open(request, timeout=timeout_s):
            pass
    except (OSError, http.client.HTTPException, ValueError) as error:
        why = str(error) or type(error).__name__
    # an answer that is cut off may look like a whole one
    why = f"no answer within {timeout_s:g} seconds" if deadline.passed else why
    return f"notify.url {address.shown}: {without_secrets(why)}" if why else None


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Never leads away from the configured address."""

    def redirect_request(self, *_: object) -> None:
        """A redirect is an error, as is a status of 400 or above."""


class _Deadline:
    """Ends a call that takes too long as a whole: the timeout of a socket is for each of its reads.

    opener: makes calls that are ended.
    """

    def __init__(self, limit_s: float) -> None:
        self.passed = False
        self._sockets: list[socket] = []
        self._timer = threading.Timer(limit_s, self._end)
        self._timer.daemon = True
        sockets = self._sockets

        class Plain(http.client.HTTPConnection):
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        class Secure(http.client.HTTPSConnection):
            def connect(self) -> None:
                super().connect()
                sockets.append(self.sock)

        class PlainHandler(urllib.request.HTTPHandler):
            def http_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Plain, request)

        class SecureHandler(urllib.request.HTTPSHandler):
            def https_open(self, request: urllib.request.Request) -> Any:
                return self.do_open(Secure, request)

        self.opener = urllib.request.build_opener(_NoRedirects, PlainHandler, SecureHandler)

    def __enter__(self) -> None:
        self._timer.start()

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()

    def _end(self) -> None:
        self.passed = True
        for opened in self._sockets:
            with suppress(OSError):
                opened.shutdown(SHUT_RDWR)
