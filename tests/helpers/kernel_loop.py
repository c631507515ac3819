"""Users who ask again when answered, on one unit as replays have it."""

import numpy as np

from planner.core.replay.iterations.model import Replica
from planner.core.replay.iterations.stage import IterationStage
from planner.core.replay.requests.model import Lives, QueueRules, Requests, Span
from planner.units import Ints
from tests.helpers.closed_loop import Answers

_END_US = 1e13
"""Later than any of them."""


def kernel_loop(replica: Replica, users: int, prompts: Ints, outputs: Ints) -> Answers:
    """As `tests.helpers.closed_loop.closed_loop`."""
    count = len(prompts)
    none = np.zeros(count, np.int64)
    requests = Requests(
        arrival_us=none,
        input_tokens=prompts,
        cached_input_tokens=none,
        output_tokens=outputs,
        class_id=none,
        session_id=none - 1,
    )
    always = Lives(np.zeros(1), np.full(1, np.inf), np.full(1, np.inf))
    span = Span(from_us=0.0, to_us=1.0, end_us=_END_US)
    stage = IterationStage(replica, always, QueueRules(), span, keep=count)
    came = stage.follow(requests, np.maximum(np.arange(count) - users, -1), np.zeros(count))
    stage.finish()
    return Answers(came, stage.prompts.kept["first_us"], stage.streams.kept["finish_us"])
