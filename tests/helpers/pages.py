"""Pages of documentation: the commands of their console blocks, and the files that they show."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import planner

ROOT = Path(planner.__file__).parent.parent
README = ROOT / "README.md"
DOCS = ROOT / "docs"

_BLOCK = re.compile(r'^```(?:console|[a-z]+ title="(?P<file>[^"]+)")\n(?P<text>.*?)^```$', re.DOTALL | re.MULTILINE)
_STORE = re.compile(r"<!-- console: (empty|planned) store -->")
_MORE = "..."


@dataclass(frozen=True)
class Shown:
    """A command, with the lines that the page shows after it; a last line "..." stands for any further ones."""

    command: str
    lines: tuple[str, ...]

    @property
    def is_cut(self) -> bool:
        return bool(self.lines) and self.lines[-1] == _MORE

    @property
    def expected(self) -> list[str]:
        """The lines without layout and without the cut."""
        return without_layout(self.lines[:-1] if self.is_cut else self.lines)


@dataclass(frozen=True)
class Block:
    """A console block with its commands, or a file with its text; start and end are its place in the page."""

    start: int
    end: int
    file: str | None
    text: str

    @property
    def commands(self) -> list[Shown]:
        commands: list[tuple[str, list[str]]] = []
        for line in self.text.splitlines():
            if line.startswith("$ "):
                commands.append((line[2:], []))
            elif line.startswith("> ") and not commands[-1][1]:
                commands[-1] = (f"{commands[-1][0]}\n{line[2:]}", [])
            else:
                commands[-1][1].append(line)
        return [Shown(command, tuple(lines)) for command, lines in commands]


def blocks(text: str) -> Iterator[Block]:
    """The blocks of a page that a reader types or saves, in order."""
    for block in _BLOCK.finditer(text):
        yield Block(block.start("text"), block.end("text"), block["file"], block["text"])


def pages() -> list[Path]:
    """Every page with such blocks."""
    return [page for page in [README, *sorted(DOCS.rglob("*.md"))] if list(blocks(page.read_text()))]


def store_of(text: str) -> str:
    """What the store holds where the page begins: "drawn", the default trace; "planned", a run as well; or "empty"."""
    marker = _STORE.search(text)
    return marker[1] if marker else "drawn"


def without_layout(lines: tuple[str, ...] | list[str]) -> list[str]:
    """Lines without trailing blanks and empty lines."""
    return [line.rstrip() for line in lines if line.strip()]


def as_shown(shown: Shown, printed: list[str]) -> str:
    """A command and what it printed as a console block holds it, cut where the page cuts it."""
    lines = "\n".join(line.rstrip() for line in printed).strip("\n").splitlines()
    if shown.is_cut:
        full = [place for place, line in enumerate(lines) if line]
        lines = [*lines[: full[len(shown.expected) - 1] + 1], _MORE]
    return "\n".join(["$ " + shown.command.replace("\n", "\n> "), *lines]) + "\n"
