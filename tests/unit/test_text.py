"""Text from outside can do nothing to a terminal or a spreadsheet."""

import unicodedata

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.store.rows import inert_cells
from planner.text import inert, visible
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
    ],
)
def test_what_cannot_be_seen_is_written_out(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.text())
def test_nothing_that_controls_a_terminal_is_left(text: str) -> None:
    assert not any(unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp") for character in visible(text))
    assert visible(visible(text)) == visible(text)


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
