"""Replays that are quick: a small fleet under the published day, and windows of it."""

FLEET = (
    "fleet.nodes=32",
    "fleet.decode.nodes=4",
    "fleet.decode.tokens_per_s_per_node=8000",
    "fleet.base.prefill=1",
    "fleet.base.decode=1",
    "fleet.step.prefill=1",
    "fleet.step.decode=1",
    "policy.floor_nodes=8",
)
"""One to four units of either role, of 32 GPUs each."""
FLEET_SETS = tuple(word for item in FLEET for word in ("--set", item))
SMALL = ("trace.demand_factor=0.03", "trace.scale=0.01", *FLEET)
"""The published day at three per cent on that fleet."""
SETS = tuple(word for item in SMALL for word in ("--set", item))
EVENING = ("--from", "2025-02-27T20:00+08:00", "--to", "2025-02-27T20:15+08:00")
NIGHT = ("--from", "2025-02-28T00:00+08:00", "--to", "2025-02-28T00:30+08:00")
