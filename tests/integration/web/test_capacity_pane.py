"""What units can do, on the page: of two roles, of one that does both, with bands and with points of one's own."""

from pathlib import Path

import pytest

from planner.web.panes import capacity
from planner.web.panes.capacity import FleetCapacityDocument
from planner.web.state import State
from planner.web.workbench import ServerSettings, Workbench
from tests.helpers.served import SERVINGS, Server

AGGREGATED, ROLES = (name for name, _ in SERVINGS.values())


def test_units_of_two_roles_have_bands_around_what_the_plan_counts_on(server: Server) -> None:
    told = server.get(f"/capacity.json?scenario={ROLES}").json
    assert told["problem"] is None
    assert told["unit"] is None
    rates = [told["overview"][name] for name in ("input_tokens_per_s_per_node", "tokens_per_s_per_node")]
    assert told["capacity"] == "modelled"
    prefill, decode = told["plan"]
    assert [each["value"] for each in rates] == pytest.approx(
        [prefill["input_tokens_per_s"], decode["output_tokens_per_s"]]
    )
    assert all(each["low"] < each["value"] < each["high"] for each in rates)
    page = server.get(f"/capacity?scenario={ROLES}").text
    assert 'id="chart-batch"' in page
    assert "No measurements of your own are used" in page


def test_a_unit_that_does_both_has_what_it_carries_of_each_alone(server: Server) -> None:
    told = server.get(f"/capacity.json?scenario={AGGREGATED}").json
    assert told["overview"] is None
    (counted,) = told["plan"]
    for kind in ("input_tokens_per_s", "output_tokens_per_s"):
        assert told["unit"][kind]["value"] == pytest.approx(counted[kind])
        assert told["unit"][kind]["low"] < told["unit"][kind]["value"] < told["unit"][kind]["high"]
    assert 'id="chart-region"' in server.get(f"/capacity?scenario={AGGREGATED}").text


def test_a_target_that_no_unit_meets_is_told_in_place_and_the_plan_stays(own: tuple[Path, list[str]]) -> None:
    db, files = own
    observed = {
        "PLANNER__FLEET__CAPACITY": "observed",
        "PLANNER__FLEET__PREFILL__TOKENS_PER_S_PER_NODE": "20000",
        "PLANNER__FLEET__DECODE__TOKENS_PER_S_PER_NODE": "5000",
    }
    bench = Workbench(ServerSettings(db=db, sources={"own": files[1]}, environment=observed))
    told = capacity.show(bench, State(scenario="own", a={"slo.tpot_ms": "1"})).document
    assert isinstance(told, FleetCapacityDocument)
    assert told.problem
    assert (told.overview, told.unit) == (None, None)
    assert [each.input_tokens_per_s or each.output_tokens_per_s for each in told.plan] == [20_000, 5_000]
