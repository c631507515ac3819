"""The shipped catalogue: scenarios, token prices and GPU rates, as TOML with the source of each value."""

import tomllib
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from planner.errors import UsageError
from planner.scenario.jobs import JobList
from planner.scenario.machines import (
    BalancerRow,
    BalancerRows,
    BatchingFile,
    CalibrationFile,
    DecodePoint,
    DecodePoints,
    Hardware,
    Mix,
    Model,
    PrefillPoint,
    PrefillPoints,
    WorkloadFile,
)
from planner.scenario.models import Closed
from planner.scenario.pricing import PricingRule
from planner.scenario.sheets import GpuRate, GpuRates, PriceSheet

DEFAULT_SCENARIO = "deepseek-2025-02-27"

KINDS = {
    "batching": "batching what-ifs",
    "checkpoints": "check points",
    "gpu_rates": "GPU rate sheet",
    "hardware": "hardware",
    "jobs": "job list",
    "mixes": "mix",
    "models": "model",
    "nightly": "jobs file",
    "prices": "price sheet",
    "pricing": "pricing rule",
    "scenarios": "scenario",
    "what_if": "what-if",
    "workloads": "workload",
}
"""What a file of each folder is called in messages."""

_SHOWN = 80
"""Characters of a wrong value that a message repeats."""

M = TypeVar("M", bound=Closed)


def names(folder: str) -> list[str]:
    """Built-in names of a catalogue folder: one of KINDS."""
    return sorted(path.stem for path in _folder(folder).glob("*.toml"))


def built_in(folder: str, name: str) -> str | None:
    """The built-in name that a name means, whatever its case; None where it means none."""
    wanted = name.casefold()
    return next((known for known in names(folder) if known.casefold() == wanted), None)


def find(folder: str, name: str) -> Path:
    """The TOML file of a built-in name, whatever its case, or of a path. Raises UsageError."""
    known, path = built_in(folder, name), Path(name)
    # a file of the user's goes before a built-in name that is only written alike
    if known is not None and (known == name or not path.is_file()):
        return _folder(folder) / f"{known}.toml"
    if path.is_file():
        return path
    raise UsageError(f'no {KINDS[folder]} "{name}": give one of {", ".join(names(folder))}, or the path of a TOML file')


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict. Raises UsageError that names the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: is not TOML: {error}") from error
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}; give a readable TOML file") from error


def price_sheet(name: str) -> PriceSheet:
    """Token prices by built-in name or path. Raises UsageError."""
    path = find("prices", name)
    return _checked(path, PriceSheet, read_toml(path))


def pricing_rule(name: str) -> PricingRule:
    """A rule of dynamic prices by built-in name or path. Raises UsageError."""
    path = find("pricing", name)
    return _checked(path, PricingRule, read_toml(path))


def gpu_rates(name: str) -> GpuRates:
    """GPU rates by built-in name or path. Raises UsageError."""
    path = find("gpu_rates", name)
    data = read_toml(path)
    rates = {key: value for key, value in data.items() if isinstance(value, dict)}
    heads = {key: value for key, value in data.items() if key not in rates}
    return _checked(path, GpuRates, {**heads, "rates": rates})


def hardware(name: str) -> Hardware:
    """A kind of node by built-in name or path. Raises UsageError."""
    path = find("hardware", name)
    return _checked(path, Hardware, read_toml(path))


def model(name: str) -> Model:
    """A model by built-in name or path. Raises UsageError."""
    path = find("models", name)
    return _checked(path, Model, read_toml(path))


def decode_points() -> tuple[DecodePoint, ...]:
    """The published decode steps of the catalogue."""
    path = find("checkpoints", "decode")
    return _checked(path, DecodePoints, read_toml(path)).point


def prefill_points() -> tuple[PrefillPoint, ...]:
    """The published prefill rates of the catalogue."""
    path = find("checkpoints", "prefill")
    return _checked(path, PrefillPoints, read_toml(path)).point


def balancer_rows() -> tuple[BalancerRow, ...]:
    """The simulated imbalances of request balancers."""
    path = _folder("balancers.toml")
    return _checked(path, BalancerRows, read_toml(path)).rows


def workload(name: str) -> WorkloadFile:
    """What requests ask for, by built-in name or path. Raises UsageError."""
    path = find("workloads", name)
    return _checked(path, WorkloadFile, read_toml(path))


def mix(name: str) -> Mix:
    """A mixed fleet and its requests by built-in name or path. Raises UsageError."""
    path = find("mixes", name)
    return _checked(path, Mix, read_toml(path))


def batching(name: str) -> BatchingFile:
    """Batching what-ifs by built-in name or path. Raises UsageError."""
    path = find("batching", name)
    return _checked(path, BatchingFile, read_toml(path))


def job_list(name: str) -> JobList:
    """Training jobs by built-in name or path. Raises UsageError."""
    path = find("jobs", name)
    return _checked(path, JobList, read_toml(path))


def calibration(path: Path) -> CalibrationFile:
    """What `planner capacity fit` wrote. Raises UsageError."""
    return _checked(path, CalibrationFile, read_toml(path))


def gpu_rate(rates: GpuRates, name: str) -> GpuRate:
    """One rate of a sheet. Raises UsageError that lists the others."""
    if name not in rates.rates:
        raise UsageError(f'GPU rates "{rates.name}" hold no rate "{name}"; use one of {", ".join(rates.rates)}')
    return rates.rates[name]


def describe(error: ValidationError) -> list[str]:
    """One line per problem that pydantic found: path, unless it is about the whole, and what is wrong."""
    return [
        ": ".join(filter(None, (".".join(str(part) for part in problem["loc"]), _message(problem))))
        for problem in error.errors()
    ]


def _message(problem: Mapping[str, Any]) -> str:
    text = str(problem["msg"])
    if problem["type"] == "extra_forbidden":
        return "is not a known field; remove it or correct its name"
    if problem["type"] == "missing":
        return "is missing; add it"
    if problem["type"] == "value_error":
        return text.removeprefix("Value error, ")
    got = repr(problem.get("input"))
    return f"{text}, got {got if len(got) <= _SHOWN else got[: _SHOWN - 3] + '...'}"


def _checked(path: Path, model: type[M], data: dict[str, Any]) -> M:
    try:
        return TypeAdapter(model).validate_python(data)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}") from error


def _folder(folder: str) -> Path:
    return Path(str(files("planner"))) / "catalogue" / folder
