"""Text from outside, as names and logs are, made harmless: for a terminal, and for a spreadsheet."""

JOINERS = frozenset("\u200c\u200d")
"""Not printed, but Persian and many other scripts, and emoji, are written with them."""
MOST_QUOTED = 255
"""Characters of a text that a message repeats: as many bytes as the name of a file may have."""

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""How a cell begins that a spreadsheet takes for a formula, in full width too; a line break hides what follows it."""


def visible(text: str, *, keep: str = "") -> str:
    r"""Text with every character that is not printed written out, as \x1b, so that it does nothing to a terminal.

    These are control characters, which move the cursor and change colours, ends of lines and paragraphs, marks that
    turn the direction of text, what has no width, spaces other than the usual one, halves of characters and what is no
    character. Joiners stay between letters that are not ASCII.

    keep: characters that stay, such as line ends of a text of several lines.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep or _joins(text, place) else _escaped(letter)
        for place, letter in enumerate(text)
    )


def quoted(text: str, most: int = MOST_QUOTED) -> str:
    """A text from outside in a message: in quotes, visible, and not more than the beginning of it.

    most: characters that are shown.
    """
    if len(text) <= most:
        return f'"{visible(text)}"'
    return f'"{visible(text[:most])}..." of {len(text):,} characters'


def inert(cell: str) -> str:
    """The text of a cell of a CSV, behind an apostrophe where a spreadsheet would compute it."""
    return f"'{cell}" if cell.startswith(FORMULA) else cell


def _joins(text: str, place: int) -> bool:
    """Whether a character is a joiner between letters that may need one."""
    if text[place] not in JOINERS:
        return False
    beside = text[max(place - 1, 0) : place] + text[place + 1 : place + 2]
    return len(beside) == 2 and all(letter.isprintable() and not letter.isascii() for letter in beside)


def _escaped(character: str) -> str:
    code = ord(character)
    if named := {"\n": r"\n", "\r": r"\r", "\t": r"\t"}.get(character):
        return named
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
