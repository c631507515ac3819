"""The inputs of a replay: requests, lives of units, speeds of a unit, and the rules of queues and balancers. Pure.

Times are microseconds from one origin; arrays of one dataclass have one length.
"""

from dataclasses import dataclass, field, replace
from typing import ClassVar, get_args

import numpy as np
from numpy.typing import NDArray

from planner.errors import UsageError
from planner.settings.replay import BalancerName, QueueMode
from planner.units import US_PER_HOUR, US_PER_MINUTE, Bools, Floats, Ints

BALANCERS: tuple[BalancerName, ...] = get_args(BalancerName)
"""Names of the balancers; the index of a name is its number in the kernels."""
QUEUE_MODES: tuple[QueueMode, ...] = get_args(QueueMode)
"""Names of the queue modes; the index of a name is its number in the kernels."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Requests in order of arrival. session_id: -1 where there is none.

    block_from, block_ids: where the prefix blocks of each begin in block_ids, (requests + 1,); none where both are left
    out.
    """

    arrival_us: Ints
    input_tokens: Ints
    cached_input_tokens: Ints
    output_tokens: Ints
    class_id: Ints
    session_id: Ints
    block_from: Ints | None = None
    block_ids: Ints | None = None

    COLUMNS: ClassVar = (
        "arrival_us",
        "input_tokens",
        "cached_input_tokens",
        "output_tokens",
        "class_id",
        "session_id",
    )
    """Arrays with an entry per request."""

    def __len__(self) -> int:
        return len(self.arrival_us)

    def part(self, rows: slice) -> "Requests":
        """A contiguous part of them."""
        columns = {name: getattr(self, name)[rows] for name in self.COLUMNS}
        if self.block_from is not None and self.block_ids is not None:
            begin, end, _ = rows.indices(len(self))
            edges = self.block_from[begin : max(begin, end) + 1]
            columns |= {"block_from": edges - edges[0], "block_ids": self.block_ids[edges[0] : edges[-1]]}
        return Requests(**columns)

    def only(self, own: Bools) -> "Requests":
        """Some of them, in their order."""
        columns = {name: getattr(self, name)[own] for name in self.COLUMNS}
        if self.block_from is not None and self.block_ids is not None:
            lengths = np.diff(self.block_from)
            columns |= {
                "block_from": np.concatenate([[0], np.cumsum(lengths[own])]),
                "block_ids": self.block_ids[np.repeat(own, lengths)],
            }
        return Requests(**columns)


@dataclass(frozen=True)
class Lives:
    """Units of one role: from when each serves, when it takes no more work, and its drain deadline (inf: never).

    fail_us: when it fails with all that it holds, for good; left out: none does.
    """

    serve_us: Floats
    drain_us: Floats
    gone_us: Floats
    fail_us: Floats = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not ((self.serve_us <= self.drain_us).all() and (self.drain_us <= self.gone_us).all()):
            raise UsageError(
                "a unit must serve before it drains, and drain before it is gone; correct the order of its times"
            )
        if len(self.fail_us) == 0:
            object.__setattr__(self, "fail_us", np.full(len(self), np.inf))
        if not (self.serve_us <= self.fail_us).all():
            raise UsageError("a unit cannot fail before it begins to serve; correct the order of its times")

    @property
    def stop_us(self) -> Floats:
        """When each takes no more work: it drains, or fails."""
        return np.minimum(self.drain_us, self.fail_us)

    def __len__(self) -> int:
        return len(self.serve_us)


@dataclass(frozen=True)
class StepTables:
    """Time of a decode step of n streams with K tokens of KV in a unit: max(low + low' K, high + high' K), us.

    Arrays over n from 0 to the most streams.
    """

    low_us: Floats
    low_us_per_token: Floats
    high_us: Floats
    high_us_per_token: Floats

    def at(self, streams: int, kv_tokens: float) -> float:
        """One step, microseconds."""
        low = self.low_us[streams] + self.low_us_per_token[streams] * kv_tokens
        return float(max(low, self.high_us[streams] + self.high_us_per_token[streams] * kv_tokens))

    def slower(self, factor: float) -> "StepTables":
        """Steps that last longer by a factor."""
        return StepTables(*(factor * column for column in vars(self).values()))


NO_LIMIT = 1 << 62
"""More tokens than a request has."""


@dataclass(frozen=True, kw_only=True)
class Service:
    """What one unit of each role does.

    m tokens after h that are there already take one rank m * (missed_us + context_us * (h + m/2)) us; a pass of
    several such pieces takes pass_us + max(longest, sum / (prefill_ranks * prefill_share)). chunk_tokens: of one
    prompt in a pass at most, the rest in the next; pass_tokens: of all in a pass at most, unless the first piece has
    more. kv_us_per_token: time to send a token's KV. kv_capacity_tokens, most_streams: of a decode unit.
    kv_stream_tokens: of its KV that a stream takes beside its own. longest_tokens: of a request, input and output;
    longer ones are rejected.
    """

    prefill_ranks: int
    prefill_share: float
    missed_us: float
    context_us: float
    pass_us: float
    pass_tokens: int
    chunk_tokens: int
    kv_us_per_token: float
    kv_capacity_tokens: float
    most_streams: int
    steps: StepTables
    kv_stream_tokens: float = 0.0
    longest_tokens: int = NO_LIMIT

    def slower(self, prompts: float, steps: float) -> "Service":
        """The same units on slower clocks: prompts and decode steps that last longer by factors."""
        return replace(
            self,
            missed_us=prompts * self.missed_us,
            context_us=prompts * self.context_us,
            pass_us=prompts * self.pass_us,
            steps=self.steps.slower(steps),
        )


@dataclass(frozen=True, kw_only=True)
class QueueRules:
    """How prefill queues are served and which balancers choose units.

    window_us: of mode window. depth_from, depth_batch: rules of mode depth, ascending from 0. queue_limit: requests
    that may wait at a unit, 0 for no limit. timeout_us: longest wait of a request until its pass starts. retries: how
    often a rejected request is retried, each time retry_after_us later. block_tokens: of a prefix block; above 0, hits
    are not those of the trace but the leading blocks that the unit served last of all, which forgets none.
    """

    prefill_balancer: BalancerName = "two-key"
    decode_balancer: BalancerName = "two-key"
    seed: int = 1
    mode: QueueMode = "at-once"
    window_us: float = 0.0
    depth_from: tuple[int, ...] = (0,)
    depth_batch: tuple[int, ...] = (1,)
    queue_limit: int = 0
    timeout_us: float = np.inf
    retries: int = 0
    retry_after_us: float = 0.0
    block_tokens: int = 0

    def __post_init__(self) -> None:
        if self.retries > 0 and self.retry_after_us <= 0:
            raise UsageError("a request that is retried at once is rejected again; use a waiting time above 0")


@dataclass(frozen=True, kw_only=True)
class Span:
    """What is simulated and what is counted, microseconds from the origin, all finite.

    Everything up to end_us happens; requests that arrive in [from_us, to_us) are counted. classes: number of classes.
    ttft_us, tpot_us: targets.
    """

    from_us: float
    to_us: float
    end_us: float
    classes: int = 1
    ttft_us: float = np.inf
    tpot_us: float = np.inf

    def counts(self, arrival_us: Floats) -> NDArray[np.bool_]:
        """Which arrivals are counted."""
        inside: NDArray[np.bool_] = (arrival_us >= self.from_us) & (arrival_us < self.to_us)
        return inside

    @property
    def hours(self) -> int:
        """Hours of the counted window, the last one possibly in part."""
        return max(1, int(np.ceil((self.to_us - self.from_us) / US_PER_HOUR)))

    @property
    def minutes(self) -> int:
        """Minutes from the origin to the end."""
        return max(1, int(np.ceil(self.end_us / US_PER_MINUTE)))

    @property
    def minutes_us(self) -> Floats:
        """How long each minute is: the last one ends with everything."""
        edges: Floats = np.minimum(np.arange(self.minutes + 1) * US_PER_MINUTE, self.end_us)
        return np.diff(edges)
