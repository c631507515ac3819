"""Experts on GPUs: balanced at least as well as EPLB, never better than the bound, groups kept on nodes."""

from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.fleet.experts import Layout, balance, bound, moves, place
from planner.core.fleet.kernels import experts as expert_kernels
from planner.errors import UsageError
from tests.conftest import Cli, eplb_cases


def test_every_recorded_case_is_met_in_mean_and_worst_and_beaten_on_average() -> None:
    gains = []
    for case in eplb_cases():
        load = np.array(case["weight"], np.float64)
        layout = Layout(case["num_replicas"], case["num_groups"], case["num_nodes"], case["num_gpus"])  # type: ignore[arg-type]
        assert layout.hierarchical == (case["policy"] == "hierarchical")
        placement = place(load, layout)
        assert placement.balance.mean() <= case["ratio_mean"] + 1e-9, case["name"]  # type: ignore[operator]
        assert placement.balance.max() <= case["ratio_worst"] + 1e-9, case["name"]  # type: ignore[operator]
        assert placement.bound == pytest.approx(case["lower_bound_ratio"], abs=1e-6)
        gains.append(case["ratio_mean"] - placement.balance.mean())  # type: ignore[operator]
    assert np.mean(gains) > 0.002


def test_one_drawn_case_has_the_recorded_figures_without_its_file() -> None:
    # EPLB (deepseek-ai/EPLB, d52c72d) on default_rng(20250227).lognormal(0, 1, (58, 256)) * 1000, rounded, EP144:
    # mean 1.3137, worst 1.5005, bound 1.2832
    load = np.round(np.random.default_rng(20250227).lognormal(0, 1, (58, 256)) * 1000)
    placement = place(load, Layout(288, 8, 18, 144))
    assert placement.balance.mean() <= 1.31369
    assert placement.balance.max() <= 1.50046
    assert placement.bound.mean() == pytest.approx(1.28322, abs=1e-5)


def test_copies_go_to_the_highest_load_per_copy() -> None:
    assert expert_kernels.replicate(np.array([10.0, 4.0, 1.0]), 6).tolist() == [3, 2, 1]


def test_packing_puts_the_largest_first_into_the_lightest_pack_with_room() -> None:
    # 9 | 8, then 5 with 8, and the last where there is room
    assert expert_kernels.pack(np.array([9.0, 5.0, 8.0, 4.0]), 2).tolist() == [0, 1, 1, 0]


loads = st.lists(st.lists(st.integers(0, 1000), min_size=8, max_size=8), min_size=1, max_size=3).map(
    lambda rows: np.array(rows, np.float64)
)
layouts = st.sampled_from(
    [Layout(12, 4, 2, 4), Layout(8, 4, 2, 4), Layout(16, 4, 4, 8), Layout(12, 4, 3, 6), Layout(12, 2, 1, 3)]
)


@settings(max_examples=60)
@given(loads, layouts)
def test_a_placement_holds_every_expert_and_lies_between_packing_and_bound(load: np.ndarray, layout: Layout) -> None:
    packed, searched = place(load, layout, lambda: False), place(load, layout)
    for placement in (packed, searched):
        assert placement.slots.shape == (len(load), layout.replicas)
        assert all(set(slots) == set(range(8)) for slots in placement.slots.tolist())
        assert (placement.balance >= placement.bound - 1e-9).all()
        assert placement.balance == pytest.approx(balance(load, placement.slots, layout.gpus))
    assert (searched.balance <= packed.balance + 1e-9).all()
    if layout.hierarchical:
        node_size, group_size = layout.replicas // layout.nodes, 8 // layout.groups
        for slots in searched.slots:
            homes: dict[int, set[int]] = {}
            for slot, expert in enumerate(slots.tolist()):
                homes.setdefault(expert // group_size, set()).add(slot // node_size)
            assert all(len(nodes) == 1 for nodes in homes.values())


@settings(max_examples=30)
@given(st.lists(st.integers(1, 100), min_size=4, max_size=4))
def test_no_placement_of_a_small_layer_is_better_than_the_bound(values: list[int]) -> None:
    load = np.array([values], np.float64)
    layout = Layout(4, 1, 2, 2)  # two nodes do not divide one group: global; no copy to spare
    best = min(balance(load, np.array([order]), 2)[0] for order in permutations(range(4)))
    assert bound(load, layout)[0] <= best + 1e-9
    assert place(load, layout).balance[0] <= best * 7 / 6 + 1e-9, (
        "largest first is within 7/6 of the best for two packs"
    )


def test_moves_count_copies_that_a_gpu_did_not_hold() -> None:
    before, after = np.array([[0, 1, 2, 3]]), np.array([[1, 0, 2, 0]])
    assert moves(before, after, 2) == 1
    assert moves(before, before, 2) == 0


@pytest.mark.parametrize(
    ("layout", "cure"),
    [
        (Layout(12, 4, 3, 4), "3 nodes do not divide 4 GPUs"),
        (Layout(13, 4, 2, 4), "4 GPUs do not divide 13 replicas"),
        (Layout(12, 3, 2, 4), "3 groups do not divide 8 experts"),
        (Layout(4, 4, 2, 4), "4 replicas are fewer than 8 experts"),
        (Layout(0, 4, 2, 4), "at least 1"),
    ],
)
def test_a_layout_that_does_not_fit_says_why(layout: Layout, cure: str) -> None:
    with pytest.raises(UsageError, match=cure):
        place(np.ones((1, 8)), layout)


def test_loads_that_are_none_are_refused() -> None:
    for bad in (np.ones(8), np.full((1, 8), -1.0), np.full((1, 8), np.nan), np.ones((0, 8))):
        with pytest.raises(UsageError, match="finite and not negative"):
            place(bad, Layout(12, 4, 2, 4))


LAYOUT = ("--replicas", "12", "--groups", "4", "--nodes", "2", "--gpus", "4")


def test_loads_come_from_csv_parquet_and_npy_alike(cli: Cli) -> None:
    load = np.random.default_rng(1).integers(0, 1000, (3, 8)).astype(np.float64)
    frame = pl.DataFrame(load, schema=[f"e{index}" for index in range(8)], orient="row")
    np.save("l.npy", load)
    frame.write_parquet("l.parquet")
    frame.write_csv("l.csv")
    frame.write_csv("bare.csv", include_header=False)
    documents = [
        cli("experts", "--load", name, *LAYOUT, "--json").json for name in ("l.npy", "l.parquet", "l.csv", "bare.csv")
    ]
    for document in documents:
        assert set(document) >= {"layers", "balance_mean", "balance_worst", "bound_mean", "seconds"}
        assert document["policy"] == "hierarchical"
        assert [layer["slots"] for layer in document["layers"]] == [layer["slots"] for layer in documents[0]["layers"]]
        assert all(sum(layer["replicas"]) == 12 for layer in document["layers"])


def test_drawn_loads_and_moves_from_a_previous_placement(cli: Cli) -> None:
    drawn = ("experts", *LAYOUT, "--layers", "2", "--experts", "8")
    first = cli(*drawn, "--json")
    Path("before.json").write_text(first.out)
    assert cli(*drawn, "--previous", "before.json", "--json").json["moves"] == 0
    assert cli(*drawn, "--seed", "2", "--previous", "before.json", "--json").json["moves"] > 0
    assert "heaviest GPU over the mean" in cli(*drawn).out


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.csv", b"a,b\nx,y\n", "is not a matrix of numbers"),
        ("l.npy", b"rubbish", "is not a matrix of numbers"),
        ("l.parquet", b"rubbish", "is not a matrix of numbers"),
        ("l.txt", b"1 2", "give a .csv, .parquet or .npy file"),
    ],
)
def test_a_file_that_is_no_matrix_gets_one_line(cli: Cli, name: str, content: bytes, message: str) -> None:
    Path(name).write_bytes(content)
    result = cli("experts", "--load", name)
    assert result.code in (1, 2)
    assert message in result.err
    assert result.err.count("\n") == 1
    assert "is not a file" in cli("experts", "--load", f"missing-{name}").err
    Path("p.json").write_text("{}")
    assert "is not a placement" in cli("experts", "--previous", "p.json").err


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("--seed", "-1"), "--seed is -1; give a whole number, at least 0"),
        (("--layers", "100000000"), "--layers 100000000 times --experts 256 is more than 50,000,000"),
        (("--layers", "1", "--experts", "100000000"), "is more than 50,000,000"),
        (("--replicas", "144000000"), "layers 58 times --replicas 144000000 is more than 50,000,000"),
        (("--sigma", "nan"), "--sigma is nan; give a number from 0 to 10"),
    ],
)
def test_loads_that_cannot_be_drawn_or_held_are_refused_before_the_memory_is_taken(
    cli: Cli, words: tuple[str, ...], cure: str
) -> None:
    result = cli("experts", *words)
    assert (result.code, result.err.count("\n")) == (2, 1)
    assert cure in result.err


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("l.npy", b"", "is not a matrix of numbers"),
        ("l.npy", b"PK\x03\x04", "is not a matrix of numbers"),
        ("l.csv", b"1,1e300\n", "contains 1e+300; loads must be numbers from 0 to 1e+15"),
        ("l.csv", b"1,inf\n", "contains inf; loads must be numbers"),
    ],
)
def test_loads_beyond_any_count_of_tokens_and_broken_files_get_one_line(
    cli: Cli, name: str, content: bytes, message: str
) -> None:
    Path(name).write_bytes(content)
    result = cli("experts", "--load", name)
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert message in result.err


def test_a_previous_placement_with_numbers_beyond_any_slot_gets_one_line(cli: Cli) -> None:
    Path("p.json").write_text('{"layers": [{"slots": [1000000000000000000000000]}]}')
    result = cli("experts", "--previous", "p.json")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "is not a placement" in result.err
