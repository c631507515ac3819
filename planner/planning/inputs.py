"""The numbers from other files that a plan depends on, with where they come from: rates, prices, the profile."""

import json
from operator import attrgetter

from pydantic import BaseModel

from planner.catalogue.read import OWN_PRICE, hardware
from planner.errors import UsageError
from planner.planning.foresight import drawn_from
from planner.planning.prepare import Prepared
from planner.runs.outcome import Input
from planner.settings.scenario import Scenario
from planner.trace.stored import TraceInfo


def inputs_of(prepared: Prepared) -> tuple[Input, ...]:
    """The numbers from other files that a plan depends on, with where they come from: rates, prices, the profile."""
    scenario, prices = prepared.scenario, prepared.prices
    economics, inputs = scenario.economics, [_price_input(prepared)]
    named = ((economics.price_sheet, prices.tokens), (economics.other_price_sheet, prices.other_tokens))
    sheets = {name if isinstance(name, str) else sheet.name: sheet for name, sheet in named if sheet is not None}
    for name, sheet in sheets.items():
        for field, price in sheet.usd_per_million_tokens.model_dump().items():
            inputs.append(Input(f"prices/{name}.{field}", f"{price} USD per million tokens", sheet.kind, sheet.source))
        if sheet.off_peak:
            discount = f"{sheet.off_peak.price_ratio:.0%} of list, {sheet.off_peak.window_utc} UTC"
            inputs.append(Input(f"prices/{name}.off_peak", discount, sheet.kind, sheet.source))
    inputs += _job_inputs(prepared)
    if scenario.fleet.capacity == "modelled":
        node = hardware(scenario.fleet.engine.hardware)
        for path, text in node.provenance.items():
            kind, _, source = text.partition(": ")
            inputs.append(Input(f"hardware/{node.name}.{path}", str(attrgetter(path)(node)), kind, source))
    return (*inputs, *_profile_inputs(scenario, prepared.trace))


def _price_input(prepared: Prepared) -> Input:
    """What a GPU-hour costs: a rate of a sheet, or the scenario's own price as its provenance says."""
    economics, rate = prepared.scenario.economics, prepared.prices.gpu
    hourly = f"{rate.usd_per_gpu_hour} USD per GPU-hour"
    if economics.gpu_usd_per_hour is not None:
        kind, _, source = prepared.scenario.provenance.get(OWN_PRICE, "set: the scenario").partition(": ")
        return Input(OWN_PRICE, hourly, kind, f"the scenario's own price: {source}")
    rates = economics.gpu_rates if isinstance(economics.gpu_rates, str) else prepared.prices.gpu_rates
    return Input(f"gpu_rates/{rates}.{economics.gpu_rate}", hourly, rate.kind, rate.source)


def _profile_inputs(scenario: Scenario, trace: TraceInfo) -> list[Input]:
    """What the trace was drawn from."""
    try:
        drawn = drawn_from(scenario, trace)
    except UsageError as error:
        # a stored trace can be planned without the file it was drawn from; the report says that it is missing
        return [Input(f"profile/{trace.profile}", "-", "assumed", str(error))]
    if drawn is None:
        return []
    profile = drawn[0]
    inputs = []
    for path, text in profile.settings.provenance.items():
        kind, _, source = text.partition(": ")
        value = attrgetter(path)(profile.settings)
        plain = json.dumps(value.model_dump(mode="json")) if isinstance(value, BaseModel) else str(value)
        inputs.append(Input(f"profile/{profile.name}.{path}", plain, kind, source))
    return inputs


def _job_inputs(prepared: Prepared) -> list[Input]:
    """What the training jobs ask for, field by field."""
    jobs, file = prepared.jobs, prepared.scenario.training.jobs
    inputs = []
    for job in jobs.job if jobs else ():
        for field in sorted(job.model_fields_set - {"name", "provenance"}):
            kind, _, source = job.provenance.get(field, f"set: {file}").partition(": ")
            inputs.append(Input(f"jobs/{job.name}.{field}", str(getattr(job, field)), kind, source))
    return inputs
