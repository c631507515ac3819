"""Units that share nodes: which places they take, when nodes come free, and what a node does of which units have parts.

Nodes of four units; 10 s to start, 5 s to drain; intervals of a minute.
"""

import pytest

from planner.core.replay.intervals.lifetimes import Life, Timing
from planner.core.replay.intervals.packing import node_spans, packed_lives

BEFORE = Timing(60, 10, 5, ahead=True)
"""Drains end at boundaries."""
AFTER = Timing(60, 10, 5, ahead=False)
"""Drains begin there."""


def told(lives: list[Life]) -> list[tuple[int, int, int, int, int, int]]:
    """Lives as (place, units, joined, ready, drain, left), in order of their places."""
    rows = [(life.place, life.units, life.joined_s, life.ready_s, life.drain_s, life.left_s) for life in lives]
    return sorted(rows)


def test_units_join_in_the_lowest_places_and_leave_from_the_highest() -> None:
    lives = packed_lives([3, 6, 2], BEFORE, 8)
    assert told(lives) == [(0, 2, 0, 0, 180, 180), (2, 1, 0, 0, 115, 120), (3, 3, 60, 70, 115, 120)]


def test_a_place_that_is_still_drained_is_not_taken_while_another_is_free() -> None:
    # two leave at 60 s; where they are gone at 65 s, their place is taken at 120 s, and a higher one where they are not
    assert told(packed_lives([4, 2, 3], AFTER, 8)) == [
        (0, 2, 0, 0, 180, 180),
        (2, 1, 120, 130, 180, 180),
        (2, 2, 0, 0, 60, 65),
    ]
    slowly = packed_lives([4, 2, 3], Timing(60, 10, 90, ahead=False), 8)
    assert told(slowly)[-1] == (4, 1, 120, 130, 180, 180)


def test_units_wait_for_places_where_the_fleet_has_no_others() -> None:
    lives = packed_lives([4, 2, 4], Timing(60, 10, 90, ahead=False), 4)
    assert told(lives) == [(0, 2, 0, 0, 180, 180), (2, 2, 0, 0, 60, 150), (2, 2, 150, 160, 180, 180)]


def test_those_that_still_wait_when_they_are_to_leave_never_join() -> None:
    lives = packed_lives([4, 2, 4, 2], Timing(60, 10, 150, ahead=False), 4)
    assert told(lives) == [(0, 2, 0, 0, 240, 240), (2, 2, 0, 0, 60, 210)]


def test_nothing_is_held_where_nothing_is_asked_for() -> None:
    assert packed_lives([0, 0], BEFORE, 4) == []
    assert told(packed_lives([0, 1, 0], BEFORE, 4)) == [(0, 1, 60, 70, 115, 120)]


def test_a_node_is_held_while_any_unit_has_a_part_of_it() -> None:
    # six units are on two nodes; when two leave, the second node comes free, and the first serves throughout
    lives = packed_lives([6, 4], BEFORE, 8)
    held = sorted((span.start_s, span.end_s, span.state, span.nodes) for span in node_spans(lives, 4, 1))
    assert held == [(0, 55, "serving", 1), (0, 120, "serving", 1), (55, 60, "draining", 1)]


def test_a_node_serves_while_any_of_its_units_does() -> None:
    # five units, then four, then seven: the unit in place 4 leaves its node at 60 s, three come back to it at 120 s
    lives = packed_lives([5, 4, 7], AFTER, 8)
    second = sorted((span.start_s, span.end_s, span.state) for span in node_spans(lives, 4, 1))[1:]
    assert second == [(0, 180, "serving"), (60, 65, "draining"), (120, 130, "starting"), (130, 180, "serving")]


def test_one_starts_and_another_drains_on_one_node() -> None:
    group = [
        Life(role="aggregated", units=1, place=0, joined_s=0, ready_s=0, drain_s=20, left_s=40),
        Life(role="aggregated", units=1, place=1, joined_s=30, ready_s=50, drain_s=60, left_s=60),
    ]
    assert [(span.state, span.start_s, span.end_s) for span in node_spans(group, 4, 1)] == [
        ("serving", 0, 20),
        ("draining", 20, 30),
        ("starting", 30, 40),
        ("starting", 40, 50),
        ("serving", 50, 60),
    ]


@pytest.mark.parametrize("unit_nodes", [1, 3])
def test_units_of_whole_nodes_have_them_to_themselves(unit_nodes: int) -> None:
    lives = packed_lives([2, 1], BEFORE, 2)
    held = sorted((span.state, span.start_s, span.end_s, span.nodes) for span in node_spans(lives, 1, unit_nodes))
    assert held == [
        ("draining", 55, 60, unit_nodes),
        ("serving", 0, 55, unit_nodes),
        ("serving", 0, 120, unit_nodes),
    ]
