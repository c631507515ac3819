"""The script of pages is put together once and then read, unless what is kept is damaged or cannot be kept."""

from collections.abc import Callable
from pathlib import Path

import pytest

from planner.report.script import chart_script

SCRIPT = 'vegaEmbed("…")\r\n'


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many times a script was put together, in a new cache folder."""
    scripts: list[str] = []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda: scripts.append(SCRIPT) or SCRIPT)
    return lambda: len(scripts)


def test_it_is_put_together_once(made: Callable[[], int]) -> None:
    assert [chart_script(), chart_script()] == [SCRIPT, SCRIPT]
    assert made() == 1


@pytest.mark.parametrize("damage", [b"", b"0", b"vegaEmbed", b"\xff"])
def test_what_is_kept_and_damaged_is_made_again(made: Callable[[], int], tmp_path: Path, damage: bytes) -> None:
    chart_script()
    (kept,) = (tmp_path / "cache" / "inference-planner").iterdir()
    sound = kept.read_bytes()
    kept.write_bytes(sound[:-4] + damage)
    assert chart_script() == SCRIPT
    assert made() == 2
    assert kept.read_bytes() == sound


def test_a_folder_that_cannot_be_made_costs_only_the_time(made: Callable[[], int], tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file")
    assert [chart_script(), chart_script()] == [SCRIPT, SCRIPT]
    assert made() == 2


def test_so_does_a_user_without_a_home(made: Callable[[], int], monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", homeless)
    assert chart_script() == SCRIPT
    assert made() == 1
