"""`make pictures`: the pictures of the documentation, taken from a page that is being served.

    planner serve --port 8765 &
    python -m tests.bench.pictures http://127.0.0.1:8765 docs/assets/pictures

Fails where the page says something on the console or asks another host.
"""

import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.helpers.live_pages import LivePages, Scheme, driven

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What a picture shows: an address of the page, and who looks at it."""

    name: str
    path: str = "/"
    width: int = 1400
    height: int = 1000
    scheme: Scheme = "light"


PICTURES = (
    Picture(name="first-screen-light"),
    Picture(name="first-screen-dark", scheme="dark"),
    Picture(name="compare", path="/?b.policy.name=reactive"),
    Picture(name="latency", path="/latency"),
    Picture(name="phone", width=390, height=844),
)


def take(browse: LivePages, address: str, folder: Path) -> None:
    """Take every picture of the page at this address, as NAME.png in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in PICTURES:
        page = browse(
            address.rstrip("/") + picture.path, width=picture.width, height=picture.height, scheme=picture.scheme
        )
        page.wait_for_load_state("networkidle")
        page.screenshot(path=folder / f"{picture.name}.png")


def main(address: str, folder: str = str(ROOT / "docs" / "assets" / "pictures")) -> int:
    chromium = shutil.which("chromium")
    if chromium is None:
        raise SystemExit("no Chromium here: apt-get install chromium")
    with driven(chromium) as driver, driver.used() as browser:
        browse = LivePages(browser)
        take(browse, address, Path(folder))
        troubles = browse.close()
    print(*troubles, sep="\n", end="\n" if troubles else "", file=sys.stderr)
    return 1 if troubles else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
