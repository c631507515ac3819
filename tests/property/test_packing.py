"""Places and nodes of units that do both, against a reference that looks at every place in every second."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.core.replay.intervals.lifetimes import Life, Timing
from planner.core.replay.intervals.packing import NODE_STATES, node_spans, packed_lives

INTERVAL_S = 6
EMPTY, DRAINING, STARTING, SERVING = range(4)
COUNTS = st.lists(st.integers(0, 9), min_size=1, max_size=8)
TIMINGS = st.builds(Timing, st.just(INTERVAL_S), st.integers(0, 15), st.integers(0, 15), st.booleans())


def by_second(lives: list[Life], places: int, seconds: int) -> np.ndarray:
    """What each place does in each second; no two units are in one place."""
    doing = np.full((places, seconds), EMPTY)
    for life in lives:
        own = slice(life.place, life.place + life.units)
        for state, start_s, end_s in (
            (STARTING, life.joined_s, life.ready_s),
            (SERVING, life.ready_s, life.drain_s),
            (DRAINING, life.drain_s, life.left_s),
        ):
            assert (doing[own, start_s:end_s] == EMPTY).all(), "two units have one place"
            doing[own, start_s:end_s] = state
    return doing


@given(COUNTS, TIMINGS, st.integers(1, 4))
@settings(max_examples=400)
def test_nodes_do_what_the_most_useful_of_their_units_does(counts: list[int], timing: Timing, per_node: int) -> None:
    places = 12
    lives = packed_lives(counts, timing, places)
    seconds = len(counts) * INTERVAL_S
    nodes = by_second(lives, places, seconds).reshape(
        places // per_node if places % per_node == 0 else -1, per_node, seconds
    )
    doing = nodes.max(axis=1)  # the states are in the order in which they count
    found = {state: np.zeros(seconds, np.int64) for state in NODE_STATES}
    for span in node_spans(lives, per_node, 1):
        found[span.state][span.start_s : span.end_s] += span.nodes
    for state, number in (("draining", DRAINING), ("starting", STARTING), ("serving", SERVING)):
        assert (found[state] == (doing == number).sum(axis=0)).all()


@given(COUNTS, TIMINGS)
@settings(max_examples=400)
def test_there_are_as_many_units_as_were_asked_for(counts: list[int], timing: Timing) -> None:
    # with room for all that drain, nobody waits: joined and not told to leave are the counts
    doing = by_second(packed_lives(counts, timing, 100), 100, len(counts) * INTERVAL_S)
    held = (doing == STARTING) | (doing == SERVING)
    if timing.ahead:
        held |= doing == DRAINING
    assert held.sum(axis=0).tolist() == np.repeat(counts, INTERVAL_S).tolist()


@given(COUNTS, TIMINGS)
@settings(max_examples=400)
def test_where_nothing_drains_the_units_are_in_the_lowest_places(counts: list[int], timing: Timing) -> None:
    at_once = Timing(INTERVAL_S, timing.start_up_s, 0, timing.ahead)
    doing = by_second(packed_lives(counts, at_once, 9), 9, len(counts) * INTERVAL_S)
    for second, held in enumerate(np.repeat(counts, INTERVAL_S)):
        assert (doing[:held, second] != EMPTY).all()
        assert (doing[held:, second] == EMPTY).all()
