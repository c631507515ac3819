"""Small fleets of units that do both, to compute by hand."""

from planner.settings.scenario import Scenario
from tests.conftest import small_scenario

UNITS = (
    "fleet.serving=aggregated",
    "fleet.nodes=4",
    "fleet.gpus_per_node=2",
    "fleet.unit.gpus=1",
    "fleet.unit.tokens_per_s=[[0, 10], [20, 5], [30, 0]]",
    "policy.floor_nodes=0",
)
"""Four nodes of two GPUs, a unit on each GPU. A unit carries 10 output tokens a second alone, 5 beside 20 input
tokens, and 30 input tokens alone: in a minute, units are i/2400 + o/600 up to four times as many input tokens as output
tokens, and (i + 2 o)/1800 beyond."""
DEMAND = [(2400.0, 1200.0), (4800.0, 600.0), (0.0, 600.0), (1800.0, 0.0)]
"""Three units, three and a third, one, and one."""
AGGREGATED = (
    "fleet.serving=aggregated",
    "fleet.gpus_per_node=8",
    "fleet.unit.gpus=4",
    "fleet.unit.tokens_per_s=[[0,20],[10,10],[20,0]]",
    "fleet.base.aggregated=1",
    "fleet.step.aggregated=1",
    "fleet.nodes=4",
    "policy.floor_nodes=0",
)
"""Four nodes of two units. A unit carries 20 tokens a second of any mix, 1,200 a minute; it loads for 10 s and drains
for 5."""

MODEL_AND_PRICES = """
[fleet.engine]
hardware = "h100"
model = "llama-3.1-8b"
weights = "bf16"
tensor_parallel = 1
redundant_experts = 0
expert_imbalance = 1.0
dispatch_imbalance = 1.0

[economics.gpu_rates]
name = "own"
description = "what a GPU costs here"
[economics.gpu_rates.rates.own]
usd_per_gpu_hour = 2.0
kind = "set"
source = "the invoice"

[economics]
gpu_rate = "own"
[economics.price_sheet]
name = "own"
description = "what tokens earn here"
source = "the list"
kind = "set"
usd_per_million_tokens = { uncached_input = 0.4, cached_input = 0.1, output = 1.6 }
"""
"""Of fleets that serve Llama 3.1 8B on H100."""
CHAT = f"""
extends = "own-fleet"
name = "chat"
description = "Llama 3.1 8B, two GPUs a unit"
timezone = "UTC"

[trace]
name = "log"

[policy]
name = "fixed"

[fleet]
nodes = 2
node_type = "H100"
gpus_per_node = 8
serving = "aggregated"
unit = {{ gpus = 2 }}
{MODEL_AND_PRICES}"""
"""The file of a fleet of two nodes with modelled capacities, whose trace is called log."""


def aggregated_scenario(*overrides: str) -> Scenario:
    """The small fleet of units that do both, with further fields set."""
    return small_scenario(*AGGREGATED, *overrides)
