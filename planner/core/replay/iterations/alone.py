"""What requests take on an idle unit that reads prompts and decodes. Pure."""

import numpy as np

from planner.core.replay.iterations.model import Replica
from planner.core.replay.requests.model import Requests
from planner.units import Floats, Ints


def answered_alone_us(replica: Replica, requests: Requests) -> Floats:
    """What each request takes from its arrival to its last token on an idle unit."""
    inputs, outputs = requests.input_tokens, requests.output_tokens
    missed = np.maximum(inputs - requests.cached_input_tokens, 1)
    full, rest = np.divmod(missed, replica.max_batched_tokens)
    prompt = full * replica.prompts.at(0, replica.max_batched_tokens) + np.where(rest > 0, _prompts(replica, rest), 0.0)
    attended = missed * (inputs - missed + missed / 2) * replica.context_us
    steps = replica.steps
    kv_tokens = inputs + outputs / 2
    step = np.maximum(
        steps.low_us[1] + steps.low_us_per_token[1] * kv_tokens,
        steps.high_us[1] + steps.high_us_per_token[1] * kv_tokens,
    )
    told = replica.first_us + replica.first_us_per_token * inputs
    alone: Floats = told + prompt + attended + np.maximum(outputs - 1, 0) * step
    return alone


def _prompts(replica: Replica, tokens: Ints) -> Floats:
    """As PromptTable.at, of prompts alone."""
    table = replica.prompts
    taken: Floats = np.interp(tokens, table.width * np.arange(table.us.shape[1]), table.us[0])
    return taken
