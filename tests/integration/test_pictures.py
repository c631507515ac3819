"""The pictures of the documentation: each has the size and the colours of who looks."""

import http.server
import struct
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.bench.pictures import PICTURES, take
from tests.helpers.live_pages import LivePages

PAGE = b"""<!doctype html><html lang="en"><title>A page</title><link rel="icon" href="data:,">
<style>:root { color-scheme: light dark }</style><h1>The answer</h1></html>"""


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(PAGE)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    """Of a server with a page at every path."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def test_every_picture_is_taken_in_the_size_of_its_window(address: str, browse: LivePages, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    take(browse, address, folder)
    assert {path.stem: struct.unpack(">II", path.read_bytes()[16:24]) for path in folder.iterdir()} == {
        picture.name: (picture.width, picture.height) for picture in PICTURES
    }
    assert browse.requests == [address + picture.path for picture in PICTURES]
    light, dark = ((folder / f"first-screen-{scheme}.png").read_bytes() for scheme in ("light", "dark"))
    assert light != dark
