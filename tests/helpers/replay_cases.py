"""Random small replays: services, fleets that come and go, rules, bursts of requests."""

from dataclasses import fields, replace
from math import inf

import numpy as np
from hypothesis import strategies as st

from planner.core.replay.requests.model import BALANCERS, QUEUE_MODES, Lives, QueueRules, Requests, Service, StepTables

Case = tuple[Service, Lives, Lives, QueueRules, Requests, float]
"""Arguments of replay_reference.simulate."""


@st.composite
def step_tables(draw: st.DrawFn, most_streams: int) -> StepTables:
    """Tables that grow with the streams, each with a kink. All times are dyadic fractions, so that sums are exact."""

    def line(base: int, slope: int, jump: int, unit: float) -> np.ndarray:
        first, rise, leap, kink = (draw(st.integers(0, high)) for high in (base, slope, jump, most_streams))
        return np.array([(first + rise * n + leap * (n >= kink)) * unit for n in range(most_streams + 1)], np.float64)

    rising = np.arange(1, most_streams + 2) / 8  # so that no step takes no time
    return StepTables(
        line(80, 16, 40, 1 / 8) + rising, line(4, 1, 4, 1 / 64), line(40, 32, 80, 1 / 8), line(8, 1, 8, 1 / 64)
    )


@st.composite
def services(draw: st.DrawFn) -> Service:
    """What small units do: passes of a few requests, few streams, a KV cache that is soon full."""
    most_streams = draw(st.integers(1, 5) | st.integers(3, 40))
    return Service(
        prefill_ranks=draw(st.sampled_from((1, 2, 4))),
        prefill_share=draw(st.sampled_from((1.0, 0.5))),
        missed_us=draw(st.integers(0, 12)) / 4,
        context_us=draw(st.integers(0, 4)) / 64,
        pass_us=draw(st.integers(0, 40)) / 4,
        pass_tokens=draw(st.integers(1, 60)),
        chunk_tokens=draw(st.integers(1, 60)),
        kv_us_per_token=draw(st.integers(0, 8)) / 4,
        kv_capacity_tokens=float(draw(st.integers(3, 40) | st.integers(40, 400))),
        kv_stream_tokens=float(draw(st.sampled_from((0, 0, 1, 10)))),
        most_streams=most_streams,
        steps=draw(step_tables(most_streams)),
    )


@st.composite
def lives(draw: st.DrawFn, span: int, failing: bool) -> Lives:
    """One to four units that come and go during the span, or stay; in half the cases the first stays.

    In half the cases some fail, or in all.
    """
    rows = [[0.0, inf, inf]] * draw(st.integers(0, 1))
    for _ in range(draw(st.integers(1, 4)) - len(rows)):
        serve = draw(st.sampled_from((0.0, 0.0, 0.0, 0.0, 0.25, 0.5, 1.0, inf)))
        drain = serve + draw(st.sampled_from((inf, inf, 0.0, 0.25, 0.5, 0.75, 1.0)))
        gone = drain + draw(st.sampled_from((0.0, 0.0, 0.01, 0.05, 0.5, inf)))
        rows.append([time * span if time == inf else float(int(time * span)) for time in (serve, drain, gone)])
    columns = np.array(rows, np.float64).T
    if not (failing or draw(st.booleans())):
        return Lives(*columns)
    fails = st.sampled_from((inf, inf, 0.0, 0.125, 0.25, 0.5, 0.51, 0.75, 1.0))
    after = np.array([draw(fails) for _ in rows])
    return Lives(*columns, columns[0] + np.where(after == inf, inf, np.floor(np.where(after == inf, 0, after) * span)))


def chain(tokens: int, seed: int, block_tokens: int) -> list[int]:
    """Blocks of a prompt, each standing for all before it too; prompts of like seeds begin alike."""
    parts = [seed % 3, seed % 6, *[seed] * 9]
    return [hash((place, parts[place])) % 2**40 for place in range(min(-(-tokens // block_tokens), len(parts)))]


@st.composite
def cases(draw: st.DrawFn, stressed: bool = False) -> Case:
    """Random small arguments of simulate: bursts and ties, load from light to far too much, units that come and go.

    stressed: units fail in all cases, prefill is busy, queues are short, the rejected come again, prompts have blocks.
    """
    service = draw(services())
    row = st.tuples(
        st.sampled_from((0, 0, 0, 1, 2, 5, 9)),  # gap before it, in parts of the span
        st.integers(0, 40) | st.just(0),
        st.sampled_from((0.0, 0.5, 1.0)),  # share of the input that was cached
        st.integers(0, 12) | st.integers(2, 40),
        st.integers(0, 2),
        st.integers(-1, 4),
        st.integers(0, 30),  # seed of its blocks
    )
    rows = np.array([draw(row) for _ in range(draw(st.integers(1, 60)))])
    gaps, inputs, shares, outputs, classes, sessions, seeds = rows.T
    cached = np.floor(inputs * shares)
    missed = inputs - cached
    alone = missed * (service.missed_us + service.context_us * (cached + missed / 2)) + service.pass_us / 4
    prefill_us = alone.sum() / (service.prefill_ranks * service.prefill_share)
    decode_us = np.maximum(outputs - 1, 0).sum() * service.steps.at(service.most_streams, 0) / service.most_streams
    load = draw(st.integers(1, 4)) * draw(st.sampled_from((0.1, 0.5, 0.8, 1.05, 2.0)))
    span = 1 + int((prefill_us if stressed else max(prefill_us, decode_us)) / load)
    columns = {
        "arrival_us": np.cumsum(gaps) * span / max(gaps.sum(), 1),
        "input_tokens": inputs,
        "cached_input_tokens": cached,
        "output_tokens": outputs,
        "class_id": classes,
        "session_id": sessions,
    }
    block_tokens = draw(st.sampled_from((0, 4, 16) if stressed else (0, 0, 0, 4, 16)))
    chains = [chain(int(tokens), int(seed), block_tokens or 8) for tokens, seed in zip(inputs, seeds, strict=True)]
    blocks = {}
    if stressed or block_tokens or draw(st.sampled_from((False, False, True))):
        blocks["block_from"] = np.cumsum([0, *(len(each) for each in chains)])
        blocks["block_ids"] = np.array([block for each in chains for block in each], np.int64)
    requests = Requests(**{name: column.astype(np.int64) for name, column in columns.items()}, **blocks)
    end_us = draw(st.sampled_from((*[span * 1000.0] * 4, span * 1.5, float(span), float(span // 2))))
    starts = (0, *sorted(draw(st.sets(st.integers(1, 12), max_size=2))))
    rules = QueueRules(
        prefill_balancer=draw(st.sampled_from((*BALANCERS, *["prefix-aware"] * 4) if stressed else BALANCERS)),
        decode_balancer=draw(st.sampled_from(BALANCERS)),
        seed=draw(st.integers(0, 1000)),
        mode=draw(st.sampled_from(QUEUE_MODES)),
        window_us=draw(st.integers(0, 200)) / 4,
        depth_from=starts,
        depth_batch=tuple(draw(st.integers(1, 8)) for _ in starts),
        queue_limit=draw(st.sampled_from((1, 3) if stressed else (0, 0, 1, 3))),
        timeout_us=draw(st.sampled_from((inf, inf, 0.0, span / 16, span / 4))),
        retries=draw(st.sampled_from((1, 3) if stressed else (0, 0, 1, 3))),
        retry_after_us=draw(st.sampled_from((0.25, span / 16, span / 2))),
        block_tokens=block_tokens,
    )
    return service, draw(lives(span, stressed)), draw(lives(span, stressed)), rules, requests, end_us


@st.composite
def loops(draw: st.DrawFn, count: int, span: int) -> tuple[np.ndarray, np.ndarray]:
    """By request the one that it follows, -1 for none, and the time to think after that: often none, seldom long."""
    back = [draw(st.sampled_from((0, 1, 1, 2, 3))) for _ in range(count)]
    follows = np.array([seq - gap if 0 < gap <= seq else -1 for seq, gap in enumerate(back)], np.int64)
    think = [draw(st.sampled_from((0.0, 0.0, 0.5, span // 64, span // 8, 2 * span))) for _ in range(count)]
    return follows, np.array(think, np.float64)


def slowed(case: Case, factor: float) -> Case:
    """The same with all times multiplied by a power of two, and an end that is not too far."""
    service, prefill, decode, rules, requests, end_us = case
    names = ("missed_us", "context_us", "pass_us", "kv_us_per_token")
    steps = StepTables(*(getattr(service.steps, field.name) * factor for field in fields(StepTables)))
    end_us = min(end_us, 2.0 * requests.arrival_us[-1] + 1000.0) * factor
    return (
        replace(service, steps=steps, **{name: getattr(service, name) * factor for name in names}),
        Lives(*(getattr(prefill, field.name) * factor for field in fields(Lives))),
        Lives(*(getattr(decode, field.name) * factor for field in fields(Lives))),
        replace(
            rules,
            window_us=rules.window_us * factor,
            timeout_us=rules.timeout_us * factor,
            retry_after_us=rules.retry_after_us * factor,
        ),
        replace(requests, arrival_us=requests.arrival_us * int(factor)),
        end_us,
    )
