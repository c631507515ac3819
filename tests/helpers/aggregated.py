"""A small fleet of units that do both, to compute by hand.

Four nodes of two GPUs, a unit on each GPU. A unit carries 10 output tokens a second alone, 5 beside 20 input tokens,
and 30 input tokens alone: in a minute, units are i/2400 + o/600 up to four times as many input tokens as output
tokens, and (i + 2 o)/1800 beyond.
"""

UNITS = (
    "fleet.serving=aggregated",
    "fleet.nodes=4",
    "fleet.gpus_per_node=2",
    "fleet.unit.gpus=1",
    "fleet.unit.tokens_per_s=[[0, 10], [20, 5], [30, 0]]",
    "policy.floor_nodes=0",
)
DEMAND = [(2400.0, 1200.0), (4800.0, 600.0), (0.0, 600.0), (1800.0, 0.0)]
"""Three units, three and a third, one, and one."""
