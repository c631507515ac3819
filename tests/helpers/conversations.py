"""A log of conversations whose turns hold what was said before, and a fleet of roles of their own for it."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

from tests.helpers.aggregated import MODEL_AND_PRICES

APART = f"""
extends = "own-fleet"
name = "apart"
description = "Llama 3.1 8B, a node a unit"
timezone = "UTC"

[trace]
name = "log"

[policy]
name = "fixed"

[fleet]
nodes = 2
node_type = "H100"
gpus_per_node = 8
prefill = {{ nodes = 1 }}
decode = {{ nodes = 1 }}
base = {{ prefill = 1, decode = 1 }}
step = {{ prefill = 1, decode = 1 }}
{MODEL_AND_PRICES}"""
"""A unit of either role, each a node."""


def write_log(path: Path, sessions: int = 300) -> None:
    """Two hours of so many conversations, as CSV."""
    draw, rows = random.Random(3), []
    for session in range(sessions):
        at_s, context = draw.uniform(0, 7000), 0
        for _ in range(draw.randint(1, 6)):
            inputs, outputs = context + draw.randint(100, 1500), draw.randint(20, 400)
            rows.append((at_s, inputs, context, outputs, session))
            context = inputs + outputs
            at_s += draw.expovariate(1 / 40) + 0.03 * outputs
    begin = datetime(2026, 3, 2, tzinfo=UTC)
    lines = [
        f"{(begin + timedelta(seconds=at_s)).isoformat()},{inputs},{cached},{outputs},s{session}"
        for at_s, inputs, cached, outputs, session in sorted(rows)
        if at_s < 7200
    ]
    head = "arrival,input_tokens,cached_input_tokens,output_tokens,session_id\n"
    path.write_text(head + "\n".join(lines) + "\n")
