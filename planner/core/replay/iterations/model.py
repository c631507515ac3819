"""One unit that computes prompts and streams in the same steps: its speeds, and what it takes at a time. Pure.

Times are microseconds.
"""

from dataclasses import dataclass, replace

from planner.core.replay.requests.model import NO_LIMIT, StepTables
from planner.errors import UsageError
from planner.units import Floats


@dataclass(frozen=True)
class PromptTable:
    """What prompt tokens add to a step, by its rows and by their number.

    us: (rows + 1, knots), microseconds at 0, width, 2 width ... tokens, linear between; the first column is what any
    prompt token adds at all, and is not paid by a step without.
    """

    width: int
    us: Floats

    def at(self, rows: int, tokens: int) -> float:
        """What so many prompt tokens, more than none, add to a step of so many rows, microseconds."""
        knot, beyond = divmod(tokens, self.width)
        low = float(self.us[rows, knot])
        return low + (float(self.us[rows, min(knot + 1, self.us.shape[1] - 1)]) - low) * (beyond / self.width)


@dataclass(frozen=True, kw_only=True)
class Replica:
    """A unit that reads prompts and decodes on the same GPUs.

    A step of n rows with K tokens of KV before it, and pieces of prompts of m tokens each after h that are there
    already, takes steps(n, K) (nothing for no rows), plus, where there are pieces, prompts(n, sum of m) +
    context_us * sum of m * (h + m/2).

    max_batched_tokens: of a step, rows and prompt tokens together. max_sequences: rows and prompts that a unit has
    begun. prefill_first: steps of prompts alone go before those of streams; else every step has all rows first, and
    prompts in what is left of its tokens. kv_blocks of block_tokens each: its KV memory; stream_blocks of them are
    taken by each request beside its own tokens. first_us, first_us_per_token: what a request takes on top of steps
    before its first token, and for each of its input tokens. longest_tokens: of a request, input and output; longer
    ones are rejected.
    """

    steps: StepTables
    prompts: PromptTable
    context_us: float
    max_batched_tokens: int
    max_sequences: int
    prefill_first: bool
    kv_blocks: int
    block_tokens: int
    stream_blocks: int = 0
    first_us: float = 0.0
    first_us_per_token: float = 0.0
    longest_tokens: int = NO_LIMIT

    @property
    def kv_capacity_tokens(self) -> float:
        """Tokens of KV that its memory holds."""
        return float(self.kv_blocks * self.block_tokens)

    @property
    def kv_stream_tokens(self) -> float:
        """What tallies of KV leave out of what a request takes: nothing, as they count whole blocks."""
        return 0.0

    def __post_init__(self) -> None:
        rows, knots = self.prompts.us.shape
        if len(self.steps.low_us) != self.max_sequences + 1 or rows != self.max_sequences + 1:
            raise UsageError(
                f"tables of a unit have {len(self.steps.low_us)} and {rows} rows for {self.max_sequences} sequences; "
                "give one more than sequences"
            )
        if (knots - 1) * self.prompts.width < self.max_batched_tokens:
            raise UsageError("a table of prompts must reach the tokens of a step; give more columns")
        if self.max_sequences > self.max_batched_tokens:
            raise UsageError(
                f"{self.max_sequences} sequences do not fit a step of {self.max_batched_tokens} tokens; "
                "lower replay.max_sequences, or raise replay.max_batched_tokens"
            )

    def limited_to(self, sequences: int) -> "Replica":
        """The same unit that begins no more requests at a time."""
        if sequences >= self.max_sequences:
            return self
        rows = slice(sequences + 1)
        return replace(
            self,
            max_sequences=sequences,
            steps=StepTables(*(column[rows] for column in vars(self.steps).values())),
            prompts=PromptTable(self.prompts.width, self.prompts.us[rows]),
        )

    def slower(self, prompts: float, steps: float) -> "Replica":
        """The same unit on slower clocks: prompts and decode steps that last longer by factors."""
        return replace(
            self,
            steps=self.steps.slower(steps),
            prompts=PromptTable(self.prompts.width, prompts * self.prompts.us),
            context_us=prompts * self.context_us,
            first_us=prompts * self.first_us,
            first_us_per_token=prompts * self.first_us_per_token,
        )


def step_us(replica: Replica, rows: int, kv_tokens: int, pieces: list[tuple[int, int]]) -> float:
    """One step, microseconds, in the order of operations that kernels keep. pieces: (tokens, tokens before them)."""
    taken = replica.steps.at(rows, kv_tokens) if rows else 0.0
    if not pieces:
        return taken
    tokens = sum(piece for piece, _ in pieces)
    attended = sum(piece * (2 * before + piece) for piece, before in pieces)
    return taken + (replica.prompts.at(rows, tokens) + replica.context_us * (attended / 2))
