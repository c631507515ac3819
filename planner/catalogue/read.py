"""The shipped catalogue: scenarios, token prices and GPU rates, as TOML with the source of each value."""

import difflib
import pickle
import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from planner.addresses import without_secrets
from planner.catalogue.entries import CatalogueEntry
from planner.catalogue.toml_tree import tree_of
from planner.errors import UsageError
from planner.input_files import check_regular, exists, is_file, read_input
from planner.settings.bands import BandsFile
from planner.settings.closed import FROM_FILE, Closed
from planner.settings.economics import EconomicsSettings
from planner.settings.engines import EngineProfile
from planner.settings.hardware import Hardware
from planner.settings.measurements import (
    BalancerRow,
    BalancerRows,
    CalibrationFile,
    DecodePoint,
    DecodePoints,
    PrefillPoint,
    PrefillPoints,
)
from planner.settings.models import Model
from planner.settings.plain import shown
from planner.settings.pricing_rules import PricingRule
from planner.settings.sheets import GpuRate, GpuRates, PriceSheet
from planner.settings.training_jobs import JobList
from planner.settings.workloads import BatchingFile, Mix, WorkloadFile
from planner.text import quoted, visible

DEFAULT_SCENARIO = "deepseek-2025-02-27"

KINDS = {
    "batching": "batching what-ifs",
    "checkpoints": "check points",
    "engines": "engine",
    "gpu_rates": "GPU rate sheet",
    "hardware": "hardware",
    "jobs": "job list",
    "mappings": "mapping",
    "mixes": "mix",
    "models": "model",
    "nightly": "jobs file",
    "prices": "price sheet",
    "pricing": "pricing rule",
    "scenarios": "scenario",
    "templates": "scenario template",
    "what_if": "what-if",
    "workloads": "workload",
}
"""What a file of each folder is called in messages."""

_KINDS_IN_TOML = ((re.compile(r"dictionary( or instance of \w+)?"), "table"), (re.compile(r"\btuple\b"), "list"))
"""What pydantic and TOML call the same kinds of value."""

OWN_PRICE = "economics.gpu_usd_per_hour"
"""The field of a scenario that is a price of a GPU-hour of its own."""

M = TypeVar("M", bound=Closed)


def names(folder: str) -> list[str]:
    """Built-in names of a catalogue folder: one of KINDS."""
    return sorted(path.stem for path in _folder(folder).glob("*.toml"))


def built_in(folder: str, name: str) -> str | None:
    """The built-in name that a name means, whatever its case; None where it means none."""
    wanted = name.casefold()
    return next((own for own in names(folder) if own.casefold() == wanted), None)


def find(folder: str, name: str) -> Path:
    """The TOML file of a built-in name, whatever its case, or of a path. Raises UsageError."""
    path, exact = Path(name), _folder(folder) / f"{name}.toml"
    if path.name == name and is_file(exact):
        return exact
    alike = built_in(folder, name)
    # a file of the user's takes precedence over a built-in name that differs in case only
    if alike is not None and not is_file(path):
        return _folder(folder) / f"{alike}.toml"
    if is_file(path):
        return path
    if exists(path):
        check_regular(path, cure=f"give one of {', '.join(names(folder))}, or the path of a TOML file")
    raise UsageError(
        f"no {KINDS[folder]} {quoted(name)}: give one of {', '.join(names(folder))}, or the path of a TOML file"
        f"{_near(folder, name)}; `planner catalogue {folder}` lists them"
    )


def _near(folder: str, name: str) -> str:
    """A built-in name that was probably meant, as a question; nothing where none is near."""
    own = names(folder)
    near = difflib.get_close_matches(name.casefold(), own, n=1, cutoff=0.5)
    near = near or [each for each in own if name and name.casefold() in each.casefold()][:1]
    return f" (did you mean {near[0]}?)" if near else ""


def catalogue_entries(folder: str) -> list[CatalogueEntry]:
    """The built-in names of a folder with a line on each. Raises UsageError for a folder that there is not."""
    if folder not in KINDS:
        raise UsageError(f'the catalogue has no "{folder}"; give one of {", ".join(sorted(KINDS))}')
    entries = []
    for name in names(folder):
        tree = read_toml(_folder(folder) / f"{name}.toml")
        line = next((tree[key] for key in ("description", "claim", "source") if isinstance(tree.get(key), str)), "")
        entries.append(CatalogueEntry(folder=folder, name=name, description=line))
    return entries


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict. Raises UsageError that names the line."""
    return _tree(path, _content(path))


def read_settings(path: Path, model: type[M]) -> M:
    """A TOML file as a model, validated once per content. Raises UsageError with every problem."""
    settings = _checked_once(path, _content(path), model)
    assert isinstance(settings, model)
    return settings


def price_sheet(name: str | PriceSheet) -> PriceSheet:
    """Token prices by built-in name or path, or as they are given. Raises UsageError."""
    return name if isinstance(name, PriceSheet) else read_settings(find("prices", name), PriceSheet)


def pricing_rule(name: str) -> PricingRule:
    """A rule of dynamic prices by built-in name or path. Raises UsageError."""
    return read_settings(find("pricing", name), PricingRule)


def gpu_rates(name: str | GpuRates) -> GpuRates:
    """GPU rates by built-in name or path, or as they are given. Raises UsageError."""
    if isinstance(name, GpuRates):
        return name
    path = find("gpu_rates", name)
    return _rates_once(path, _content(path))


def hardware(name: str) -> Hardware:
    """A kind of node by built-in name or path. Raises UsageError."""
    return read_settings(find("hardware", name), Hardware)


def engine_node(name: str) -> Hardware:
    """A kind of node with the curves of its kernels, or with those of the one that it is assumed to be like.

    Raises UsageError.
    """
    node = hardware(name)
    if node.curves_like is None:
        return node
    other = hardware(node.curves_like)
    if other.curves is None:
        raise UsageError(f"{quoted(name)} is like {quoted(node.curves_like)}, which has no [curves]; name one that has")
    # of links of its own, only what was measured on them would hold
    curves = other.curves.model_copy(update={"all_reduce": None, "exchange": None} if _linked(node, other) else {})
    return node.model_copy(update={"curves": curves})


def _linked(node: Hardware, other: Hardware) -> bool:
    """Whether two kinds of node differ in the links between their GPUs."""
    return (node.nvlink_gb_s, node.nvlink_gpus) != (other.nvlink_gb_s, other.nvlink_gpus)


def engine_profile(name: str) -> EngineProfile:
    """A serving engine by built-in name or path. Raises UsageError."""
    return read_settings(find("engines", name), EngineProfile)


def model(name: str) -> Model:
    """A model by built-in name or path. Raises UsageError."""
    path = find("models", name)
    if path.suffix == ".json":
        raise UsageError(f"{path}: is no TOML file; make one of a model's config.json with `planner model add {path}`")
    return read_settings(path, Model)


def decode_points() -> tuple[DecodePoint, ...]:
    """The published decode steps of the catalogue."""
    return read_settings(find("checkpoints", "decode"), DecodePoints).point


def prefill_points() -> tuple[PrefillPoint, ...]:
    """The published prefill rates of the catalogue."""
    return read_settings(find("checkpoints", "prefill"), PrefillPoints).point


def balancer_rows() -> tuple[BalancerRow, ...]:
    """The simulated imbalance of request balancers."""
    return read_settings(_folder("balancers.toml"), BalancerRows).rows


def bands() -> BandsFile:
    """How far measured times lie from modelled ones."""
    return read_settings(_folder("bands.toml"), BandsFile)


def workload(name: str) -> WorkloadFile:
    """What requests ask for, by built-in name or path. Raises UsageError."""
    return read_settings(find("workloads", name), WorkloadFile)


def mix(name: str) -> Mix:
    """A mixed fleet and its requests by built-in name or path. Raises UsageError."""
    return read_settings(find("mixes", name), Mix)


def batching(name: str) -> BatchingFile:
    """Batching what-ifs by built-in name or path. Raises UsageError."""
    return read_settings(find("batching", name), BatchingFile)


def job_list(name: str) -> JobList:
    """Training jobs by built-in name or path. Raises UsageError."""
    return read_settings(find("jobs", name), JobList)


def calibration(path: Path) -> CalibrationFile:
    """What `planner capacity fit` wrote. Raises UsageError."""
    return read_settings(path, CalibrationFile)


def gpu_rate(rates: GpuRates, name: str) -> GpuRate:
    """One rate of a sheet. Raises UsageError that lists the others."""
    if name not in rates.rates:
        raise UsageError(f'GPU rates "{rates.name}" have no rate "{name}"; use one of {", ".join(rates.rates)}')
    return rates.rates[name]


def scenario_gpu_rate(economics: EconomicsSettings) -> GpuRate:
    """The rate that prices the fleet of a scenario: its own price, or that of the sheet. Raises UsageError."""
    if economics.gpu_usd_per_hour is not None:
        return GpuRate(usd_per_gpu_hour=economics.gpu_usd_per_hour, kind="set", source=OWN_PRICE)
    return gpu_rate(gpu_rates(economics.gpu_rates), economics.gpu_rate)


def describe(error: ValidationError) -> list[str]:
    """One line per problem that pydantic found: path, unless it is about the whole, and what is wrong."""
    return list(_lines([(problem["loc"], problem) for problem in error.errors() if not _is_of_entries(problem)]))


def _is_of_entries(problem: ErrorDetails) -> bool:
    """Whether a list is called too short only because entries of it are wrong, which is told of each of them."""
    return problem["type"] == "too_short" and len(problem["input"]) >= problem["ctx"]["min_length"]


_Problem = tuple[tuple[int | str, ...], ErrorDetails]
"""A problem, and where it is, as far as that is not told yet."""
_KIND = re.compile(r"(str|int|float|bool|date)|(constrained|function)-.*|(tuple|list|dict|literal|nullable)\[.*")
"""How pydantic names one of the kinds of value that a field takes, in the path of a problem."""


def _lines(problems: Sequence[_Problem], before: tuple[int | str, ...] = ()) -> Iterator[str]:
    """The problems below a path, in their order.

    Where a field takes values of several kinds, pydantic tells what is wrong with the value as each of them: those of
    the kind that was meant are kept, which is that whose inside is wrong.
    """
    groups: dict[tuple[int | str, ...], list[_Problem]] = {}
    for path, problem in problems:
        field = next((path[:at] for at, part in enumerate(path) if _is_kind(part)), path)
        groups.setdefault(field, []).append((path[len(field) :], problem))
    for field, group in groups.items():
        at = before + field
        here = [problem for rest, problem in group if not rest]
        yield from (_line(at, _message(problem)) for problem in here)
        inside = [(rest, problem) for rest, problem in group if rest]
        deeper = [(rest[1:], problem) for rest, problem in inside if len(rest) > 1]
        wrong = [(rest[1:], problem) for rest, problem in inside if not problem["type"].endswith("_type")]
        # a list without entries was meant as a list
        empty = [(rest, problem) for rest, problem in wrong if problem["type"] == "too_short"]
        if deeper or wrong:
            yield from _lines(deeper or empty or wrong, at)
        elif inside:
            yield _line(at, _any_of([problem for _, problem in inside]))


def _is_kind(part: int | str) -> bool:
    return isinstance(part, str) and (_KIND.fullmatch(part) is not None or part in _tables(Closed))


def _tables(model: type[BaseModel]) -> set[str]:
    """The names of all kinds of table."""
    return {name for below in model.__subclasses__() for name in (below.__name__, *_tables(below))}


def _line(path: Sequence[int | str], message: str) -> str:
    return visible(": ".join(filter(None, (".".join(map(str, path)), message))))


def _any_of(problems: Sequence[ErrorDetails]) -> str:
    """What a value should be that is of none of the kinds that a field takes."""
    texts = list(dict.fromkeys(_as_toml(str(problem["msg"])) for problem in problems))
    begin = "Input should be a valid "
    kinds = [text.removeprefix(begin) for text in texts]
    whole = begin + " or ".join(kinds) if all(text.startswith(begin) for text in texts) else " or ".join(texts)
    return _message({**problems[0], "msg": whole})


def _message(problem: ErrorDetails) -> str:
    text = str(problem["msg"])
    if problem["type"] == "extra_forbidden":
        return "is not a known field; remove it or correct its name"
    if problem["type"] == "missing":
        return "is missing; add it"
    if problem["type"] == "too_short":
        return f"is an empty list; give at least {problem['ctx']['min_length']}"
    if problem["type"] == "value_error":
        return text.removeprefix("Value error, ")
    if {"headers", "url"} & set(problem["loc"]):
        return _as_toml(text)  # what was written may be secret
    return f"{_as_toml(text)}, got {without_secrets(shown(problem.get('input')))}"


def _as_toml(text: str) -> str:
    """A message in the words of TOML."""
    for kind, name in _KINDS_IN_TOML:
        text = kind.sub(name, text)
    return text


def _content(path: Path) -> bytes:
    return read_input(path, cure="give a readable TOML file")


def _tree(path: Path, content: bytes) -> dict[str, Any]:
    try:
        tree: dict[str, Any] = pickle.loads(_parsed_once(content))
    except ValueError as error:
        raise UsageError(f"{path}: is not valid TOML: {error}") from error
    return tree


@lru_cache(maxsize=64)
def _parsed_once(content: bytes) -> bytes:
    """A tree as bytes, of which everyone gets a copy: read again in a twentieth of the time that its text takes."""
    return pickle.dumps(tree_of(content.decode("utf-8")))


@lru_cache(maxsize=256)
def _checked_once(path: Path, content: bytes, model: type[Closed]) -> Closed:
    return _checked(path, model, _tree(path, content))


@lru_cache(maxsize=32)
def _rates_once(path: Path, content: bytes) -> GpuRates:
    data = _tree(path, content)
    rates = {key: value for key, value in data.items() if isinstance(value, dict)}
    if not rates:
        raise UsageError(f"{path}: has no rates; add a table, such as [rental] with usd_per_gpu_hour, kind and source")
    heads = {key: value for key, value in data.items() if key not in rates}
    return _checked(path, GpuRates, {**heads, "rates": rates})


def _checked(path: Path, model: type[M], data: dict[str, Any]) -> M:
    try:
        return TypeAdapter(model).validate_python(data, context=FROM_FILE)
    except ValidationError as error:
        raise UsageError(f"{path}: {'; '.join(describe(error))}") from error


@cache
def _folder(folder: str) -> Path:
    return Path(str(files("planner"))) / "catalogue" / "data" / folder
