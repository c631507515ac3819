"""Text from outside, as names and logs are, made harmless: for a terminal, and for a spreadsheet."""

import re

_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ud800-\udfff]")
"""What moves the cursor, changes colours, breaks the line, turns the direction of what follows or is no character."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet takes for a formula, in full width too; a line break hides what follows it."""


def visible(text: str, *, keep: str = "") -> str:
    r"""Text with control characters and the like written out, as \x1b, so that it can do nothing to a terminal.

    keep: characters that stay, such as line ends of a text of several lines.
    """
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _escaped(found[0]), text)


def inert(cell: str) -> str:
    """The text of a cell of a CSV, behind an apostrophe where a spreadsheet would compute it."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _escaped(character: str) -> str:
    code = ord(character)
    if named := {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character):
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
