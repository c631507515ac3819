"""Notifications: a command or a web address receives a document about each night that ended."""

import http.client
import json
import subprocess
import urllib.request

from planner.documents import to_json
from planner.nightly.documents import NightNotification
from planner.nightly.jobs_file import NotifySettings


def notify(settings: NotifySettings, notification: NightNotification) -> list[str]:
    """Hand the document to the command and the address that are configured; returns what went wrong, a line each."""
    text = json.dumps(to_json(notification))
    problems = []
    if settings.command:
        problems += _run_command(settings, text)
    if settings.url:
        problems += _post(settings.url, settings.timeout_s, text)
    return problems


def _run_command(settings: NotifySettings, text: str) -> list[str]:
    try:
        done = subprocess.run(
            settings.command,
            input=text,
            encoding="utf-8",
            errors="replace",
            capture_output=True,
            timeout=settings.timeout_s,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        return [f"notify.command {settings.command[0]}: {error}"]
    if done.returncode:
        return [f"notify.command {settings.command[0]}: exit code {done.returncode}: {done.stderr.strip()[-200:]}"]
    return []


def _post(url: str, timeout_s: float, text: str) -> list[str]:
    request = urllib.request.Request(
        url, data=text.encode(), headers={"Content-Type": "application/json"}, method="POST"
    )
    try:
        with _OPENER.open(request, timeout=timeout_s):
            return []
    except (OSError, http.client.HTTPException, ValueError) as error:
        return [f"notify.url {url}: {error or type(error).__name__}"]


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Never leads away from the configured address."""

    def redirect_request(self, *_: object) -> None:
        """A redirect is an error, as is a status of 400 or above."""


_OPENER = urllib.request.build_opener(_NoRedirects)
