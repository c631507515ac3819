"""Text from outside can do nothing to a terminal or a spreadsheet."""

import sys
import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.store.rows import inert_cells
from planner.text import JOINERS, inert, quoted, visible
from tests.conftest import Cli


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ü 漢 🦆", "plain ü 漢 🦆"),
        ("\x1b[31mred\x1b[0m", r"\x1b[31mred\x1b[0m"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x07\x7f\x9b2J", r"\x07\x7f\x9b2J"),
        ("txt\u202eexe.\u2066", r"txt\u202eexe.\u2066"),
        ("a\u2028b\u2029c", r"a\u2028b\u2029c"),
        ("\ud800", r"\ud800"),
        ("a\u200bb\ufeff\u2060\xad", r"a\u200bb\ufeff\u2060\xad"),
        ("tag\U000e0041", r"tag\U000e0041"),
        ("a\xa0b\u3000c", r"a\xa0b\u3000c"),
        # joiners stay where scripts and emoji need them, and not where they hide a difference
        ("می\u200cخواهم 👩\u200d💻", "می\u200cخواهم 👩\u200d💻"),
        ("ad\u200dmin\u200c", r"ad\u200dmin\u200c"),
        ("é\u200d\u200dé", r"é\u200d\u200dé"),
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    shown = visible(text)
    assert all(character.isprintable() or character in JOINERS for character in shown)
    assert visible(shown) == shown
    assert visible(text, keep="\n\t").replace("\n", r"\n").replace("\t", r"\t") == shown
    assert quoted(text, 5).startswith(f'"{visible(text[:5])}')


def test_every_character_that_is_not_printed_is_written_out() -> None:
    kinds = ("Cc", "Cf", "Cs", "Zl", "Zp")
    unseen = [chr(code) for code in range(sys.maxunicode + 1) if unicodedata.category(chr(code)) in kinds]
    assert len(unseen) > 2000
    for character in unseen:
        assert visible(character).isascii()
        assert visible(character).isprintable()
    assert visible("".join(unseen), keep="\n").count("\n") == 1


def test_a_text_in_a_message_is_in_quotes_and_not_more_than_its_beginning() -> None:
    assert quoted("a\x1b[2J") == r'"a\x1b[2J"'
    assert quoted("x" * 255) == f'"{"x" * 255}"'
    assert quoted("x" * 256) == f'"{"x" * 255}..." of 256 characters'
    assert quoted("\n" * 1234, 2) == r'"\n\n..." of 1,234 characters'


@given(st.text())
def test_no_cell_is_a_formula_and_no_other_is_changed(text: str) -> None:
    cell = inert(text)
    assert not cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    assert cell in (text, f"'{text}")


def test_numbers_stay_numbers_in_a_frame_for_people() -> None:
    frame = pl.DataFrame({"=a": [-1, 2], "b": ["-1", None], "c": [-1.5, None]})
    frame = frame.with_columns(d=pl.Series(["@x", "y"], dtype=pl.Categorical))
    assert inert_cells(frame).write_csv() == "'=a,b,c,d\n-1,'-1,-1.5,'@x\n2,,,y\n"


def test_names_of_a_log_reach_neither_terminal_nor_spreadsheet(cli: Cli) -> None:
    with open("l.csv", "w", encoding="utf-8") as file:  # noqa: PTH123
        file.write('arrival,input_tokens,output_tokens,class\n1,5,5,=1+1\n2,5,5,"\x1b[31m"\n')
    assert cli("trace", "import", "l.csv", "--name", "t").code == 0
    shown = cli("trace", "show", "t").out
    assert "\x1b" not in shown
    assert r"\x1b[31m" in shown
    cells = cli("sql", "SELECT '=1+1' AS \"@a\", -1 AS b", "--format", "csv").out
    assert cells == "'@a,b\n'=1+1,-1\n"
    exported = cli("trace", "export", "t", "--out", "again.csv")
    assert "do not open the file in a spreadsheet" in exported.err
    assert cli("trace", "import", "again.csv", "--name", "u").code == 0
    classes = cli("trace", "show", "u", "--json").json["classes"]
    assert {each["class"] for each in classes} == {"=1+1", "\x1b[31m"}
    missing = cli("trace", "show", "\x1b[2Jx")
    assert (missing.code, "\x1b" in missing.err) == (1, False)
