"""Which training job runs on which lent nodes, and when: by hand, and against a placement second by second."""

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.core.replay.intervals.lending import LentWindow, lend
from planner.core.replay.jobs.placement import RULES, JobInstance, LentNode, PlacedJobs, Segment, lent_nodes, place
from planner.settings.training import TrainingSettings
from tests.helpers.jobs_reference import simulate


def job(gpus: int = 8, work_s: int = 10, **fields: object) -> JobInstance:
    """A job that loads in no time and writes no checkpoint, unless said otherwise."""
    plain = JobInstance(
        name="j",
        gpus=gpus,
        work_s=work_s,
        checkpoint_s=None,
        restart_s=0,
        preemptible=True,
        release_s=0,
        deadline_s=None,
        node_hour_micros=0,
    )
    return replace(plain, **fields)  # type: ignore[arg-type]


def placed(jobs: list[JobInstance], nodes: list[LentNode], rule: str = "first-fit", known: bool = True) -> PlacedJobs:
    """Jobs on nodes of 8 GPUs in a plan of 100 s."""
    return place(jobs, nodes, 8, rule=rule, known=known, end_s=100)


def times(found: PlacedJobs) -> list[tuple[int, tuple[int, ...], int, int, str]]:
    """Job, nodes, start, end and ending of every segment, by start."""
    return sorted((s.job, s.slots, s.start_s, s.end_s, s.ending) for s in found.segments)


WHOLE = [LentNode(0, 0, 100)]


def test_small_jobs_share_a_node_and_the_next_waits_for_room() -> None:
    found = placed([job(4, 10), job(3, 20), job(4, 5)], WHOLE)
    assert times(found) == [(0, (0,), 0, 10, "finished"), (1, (0,), 0, 20, "finished"), (2, (0,), 10, 15, "finished")]
    assert found.unused_gpu_s == 800 - 4 * 10 - 3 * 20 - 4 * 5


def test_a_job_of_up_to_a_node_is_never_spread_over_nodes() -> None:
    two = [LentNode(0, 0, 100), LentNode(1, 0, 100)]
    found = placed([job(6, 50), job(6, 40), job(4, 10)], two)
    assert times(found)[2] == (2, (1,), 40, 50, "finished"), "two and two are free, but on two nodes"


def test_a_larger_job_takes_whole_nodes_and_waits_until_there_are_enough() -> None:
    nodes = [LentNode(0, 0, 100), LentNode(1, 0, 100), LentNode(2, 20, 100)]
    found = placed([job(1, 90), job(16, 10)], nodes)
    assert times(found) == [(0, (0,), 0, 90, "finished"), (1, (1, 2), 20, 30, "finished")]


def test_small_jobs_pass_a_large_one_that_finds_no_room() -> None:
    assert times(placed([job(16, 10), job(8, 10)], WHOLE)) == [(1, (0,), 0, 10, "finished")]


def test_a_job_that_is_called_back_keeps_its_checkpoints_and_loads_again() -> None:
    # loads for 5 s, makes progress for 25 s of which 20 are in checkpoints, and does the other 20 later
    nodes = [LentNode(0, 0, 30), LentNode(0, 50, 100)]
    found = placed([job(2, 40, checkpoint_s=10, restart_s=5)], nodes)
    assert found.segments == (
        Segment(job=0, slots=(0,), start_s=0, end_s=30, restarting_s=5, kept_s=20, lost_s=5, ending="called back"),
        Segment(job=0, slots=(0,), start_s=50, end_s=75, restarting_s=5, kept_s=20, lost_s=0, ending="finished"),
    )
    assert found.unused_gpu_s == 6 * 30 + 6 * 25 + 8 * 25


def test_without_checkpoints_a_job_begins_anew() -> None:
    nodes = [LentNode(0, 0, 30), LentNode(0, 50, 100)]
    found = placed([job(2, 40)], nodes, known=False)
    assert [(s.kept_s, s.lost_s, s.end_s) for s in found.segments] == [(0, 30, 30), (40, 0, 90)]


def test_a_job_called_back_while_it_loads_has_only_loaded() -> None:
    found = placed([job(2, 40, restart_s=35)], [LentNode(0, 0, 30)], known=False)
    assert found.segments == (
        Segment(job=0, slots=(0,), start_s=0, end_s=30, restarting_s=30, kept_s=0, lost_s=0, ending="called back"),
    )


def test_a_job_on_several_nodes_stops_when_one_of_them_goes_and_moves_on_at_once() -> None:
    nodes = [LentNode(0, 0, 100), LentNode(1, 0, 20), LentNode(2, 20, 100)]
    found = placed([job(16, 50, checkpoint_s=20)], nodes)
    assert times(found) == [(0, (0, 1), 0, 20, "called back"), (0, (0, 2), 20, 50, "finished")]
    assert [s.lost_s for s in found.segments] == [0, 0]


def test_a_job_that_is_done_when_its_node_goes_is_done() -> None:
    assert times(placed([job(8, 30)], [LentNode(0, 0, 30)])) == [(0, (0,), 0, 30, "finished")]


def test_a_job_that_is_not_preemptible_starts_only_where_it_is_known_to_finish() -> None:
    nodes = [LentNode(0, 0, 30), LentNode(1, 20, 80)]
    whole = job(8, 40, restart_s=5, preemptible=False)
    assert times(placed([whole], nodes)) == [(0, (1,), 20, 65, "finished")]
    assert times(placed([replace(whole, work_s=56)], nodes)) == [], "60 s are not enough for 5 + 56"
    assert times(placed([whole], nodes, known=False)) == []
    # its nodes stay beyond the plan's end, but whether it would finish there is not known
    assert times(placed([replace(whole, work_s=80)], [LentNode(0, 20, 100)])) == []


def test_a_job_does_not_start_where_it_is_known_to_keep_nothing() -> None:
    nodes = [LentNode(0, 0, 30), LentNode(0, 40, 100)]
    short = job(8, 50, checkpoint_s=30, restart_s=1)
    assert times(placed([short], nodes)) == [(0, (0,), 40, 91, "finished")]
    assert times(placed([short], nodes, known=False))[0] == (0, (0,), 0, 30, "called back")


def test_the_end_of_the_plan_calls_nobody_back() -> None:
    found = placed([job(8, 500, checkpoint_s=60, restart_s=30)], WHOLE)
    assert found.segments == (
        Segment(job=0, slots=(0,), start_s=0, end_s=100, restarting_s=30, kept_s=70, lost_s=0, ending="plan ends"),
    )


def test_first_fit_takes_jobs_as_listed_deadline_first_by_urgency_and_value_first_by_worth() -> None:
    jobs = [
        job(8, 10, deadline_s=None, node_hour_micros=2),
        job(8, 10, deadline_s=50, node_hour_micros=1),
        job(8, 10, deadline_s=20, node_hour_micros=3),
        job(8, 10, deadline_s=20, node_hour_micros=3),
    ]
    order = {rule: [s.job for s in placed(jobs, WHOLE, rule).segments] for rule in RULES}
    assert order == {
        "first-fit": [0, 1, 2, 3],
        "deadline-first": [2, 3, 1, 0],
        "value-first": [2, 3, 0, 1],
    }


def test_a_job_waits_for_its_earliest_start_and_does_not_stop_others() -> None:
    found = placed([job(8, 30), job(8, 10, release_s=5, deadline_s=20)], WHOLE, "deadline-first")
    assert times(found) == [(0, (0,), 0, 30, "finished"), (1, (0,), 30, 40, "finished")]


def test_of_nodes_lent_together_the_longest_have_the_lowest_numbers() -> None:
    windows = [LentWindow(0, 0, 20, 1), LentWindow(0, 0, 50, 1), LentWindow(10, 10, 30, 1), LentWindow(20, 20, 25, 1)]
    assert lent_nodes(windows) == [
        LentNode(0, 0, 50),
        LentNode(1, 0, 20),
        LentNode(2, 10, 30),
        LentNode(1, 20, 25),
    ]


END_S, PER_NODE = 60, 4
levels = st.lists(st.tuples(st.integers(1, 15), st.integers(0, 4)), min_size=1, max_size=8)
cases = st.lists(
    st.builds(
        JobInstance,
        name=st.just("j"),
        gpus=st.sampled_from([1, 2, 3, 4, 8, 12]),
        work_s=st.integers(1, 30),
        checkpoint_s=st.none() | st.integers(1, 8),
        restart_s=st.integers(0, 5),
        preemptible=st.booleans(),
        release_s=st.integers(0, END_S - 1),
        deadline_s=st.none() | st.integers(1, 80),
        node_hour_micros=st.integers(0, 3),
    ),
    max_size=7,
)


def windows_of(steps: list[tuple[int, int]], least_s: int = 0) -> list[LentWindow]:
    """Windows of a timeline of free nodes, given as (seconds, nodes), cut or drawn out to the plan."""
    free, at_s = [], 0
    for seconds, nodes in steps:
        if at_s < END_S:
            free.append((at_s, min(at_s + seconds, END_S), nodes))
            at_s = free[-1][1]
    free[-1] = (free[-1][0], END_S, free[-1][2])
    return lend(free, TrainingSettings(lend=True, restore_s=0, min_window_s=least_s))


@given(levels, cases, st.sampled_from(sorted(RULES)), st.booleans(), st.integers(0, 10))
def test_placement_is_that_of_a_second_by_second_simulation(
    steps: list[tuple[int, int]], jobs: list[JobInstance], rule: str, known: bool, least_s: int
) -> None:
    nodes = lent_nodes(windows_of(steps, least_s))
    found = place(jobs, nodes, PER_NODE, rule=rule, known=known, end_s=END_S)
    expected = simulate(jobs, nodes, PER_NODE, rule, known, END_S)

    def by_time(segment: Segment) -> tuple[int, int]:
        return segment.start_s, segment.job

    assert sorted(found.segments, key=by_time) == sorted(expected.segments, key=by_time)
    assert found.unused_gpu_s == expected.unused
    held = [
        sum(jobs[s.job].gpus * seconds(s) for s in found.segments)
        for seconds in (lambda s: s.kept_s, lambda s: s.lost_s, lambda s: s.restarting_s)
    ]
    assert held == [expected.useful, expected.lost, expected.restarting]


@given(levels, cases, st.sampled_from(sorted(RULES)), st.booleans())
def test_jobs_run_on_lent_nodes_only_and_no_gpu_is_booked_twice(
    steps: list[tuple[int, int]], jobs: list[JobInstance], rule: str, known: bool
) -> None:
    windows = windows_of(steps)
    nodes = lent_nodes(windows)
    found = place(jobs, nodes, PER_NODE, rule=rule, known=known, end_s=END_S)
    booked = {(node.slot, second): 0 for node in nodes for second in range(node.start_s, node.end_s)}
    assert len(booked) == sum((window.end_s - window.start_s) * window.nodes for window in windows)
    for segment in found.segments:
        asked = jobs[segment.job]
        assert len(segment.slots) == len(set(segment.slots)) == max(asked.gpus // PER_NODE, 1)
        assert segment.end_s - segment.start_s == segment.restarting_s + segment.kept_s + segment.lost_s
        assert segment.start_s >= asked.release_s
        for slot in segment.slots:
            for second in range(segment.start_s, segment.end_s):
                booked[slot, second] += min(asked.gpus, PER_NODE)
    assert all(gpus <= PER_NODE for gpus in booked.values())
    assert sum(PER_NODE - gpus for gpus in booked.values()) == found.unused_gpu_s
    for index, asked in enumerate(jobs):
        mine = sorted((s for s in found.segments if s.job == index), key=lambda s: s.start_s)
        assert all(one.end_s <= two.start_s for one, two in pairwise(mine))
        done = sum(s.kept_s for s in mine)
        assert done == asked.work_s if mine and mine[-1].ending == "finished" else done < asked.work_s
        if not asked.preemptible:
            assert [s.ending for s in mine] == ["finished"][: len(mine)]
        if known:
            assert all(s.kept_s > 0 or s.ending == "plan ends" for s in mine)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4)), min_size=1, max_size=8))
def test_on_one_machine_with_unit_jobs_deadline_first_meets_all_deadlines_that_first_fit_meets(
    drawn: list[tuple[int, int]],
) -> None:
    jobs = [job(8, 5, release_s=5 * start, deadline_s=5 * (start + slack)) for start, slack in drawn]

    def all_met(rule: str) -> bool:
        ends = {s.job: s.end_s for s in placed(jobs, WHOLE, rule).segments}
        return all(ends[index] <= (one.deadline_s or 0) for index, one in enumerate(jobs))

    assert all_met("deadline-first") or not all_met("first-fit")


def test_there_are_unit_jobs_whose_deadlines_only_deadline_first_meets() -> None:
    jobs = [job(8, 5, deadline_s=10), job(8, 5, deadline_s=5)]
    ends = {rule: [s.end_s for s in sorted(placed(jobs, WHOLE, rule).segments, key=lambda s: s.job)] for rule in RULES}
    assert (ends["first-fit"], ends["deadline-first"]) == ([5, 10], [10, 5])


@given(levels, cases)
def test_equal_values_and_no_deadlines_leave_the_order_of_the_list(
    steps: list[tuple[int, int]], jobs: list[JobInstance]
) -> None:
    same = [replace(one, deadline_s=None, node_hour_micros=1) for one in jobs]
    nodes = lent_nodes(windows_of(steps))
    found = {rule: place(same, nodes, PER_NODE, rule=rule, known=True, end_s=END_S) for rule in RULES}
    assert found["first-fit"] == found["deadline-first"] == found["value-first"]


@pytest.mark.parametrize("rule", sorted(RULES))
def test_nothing_lent_places_nothing(rule: str) -> None:
    assert placed([job()], [], rule) == PlacedJobs((), 0)
