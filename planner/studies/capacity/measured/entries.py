"""The measurements in a file, one entry each, as numbers and texts at dotted keys."""

import csv
import io
import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import yaml

from planner.errors import PlannerError
from planner.input_files import MOST_MEASURED_BYTES, is_file, read_input
from planner.text import visible

SHAPES = (
    "CSV or JSON list of streams, kv_tokens, step_ms, or of isl, osl, concurrency, ttft_ms, tpot_ms; vLLM `bench serve "
    "--save-result`; SGLang `bench_serving --output-file`; GuideLLM benchmarks.json; AIPerf or GenAI-Perf "
    "profile_export .json or .csv; TensorRT-LLM `trtllm-bench --report_json`; InferenceX agg_*.json"
)
MOST = 1e15
"""Largest number that is taken for a measurement. Assumed: no run has as many tokens, streams or milliseconds."""
MOST_COUNT = 1_000_000
"""Most GPUs of an endpoint. Assumed: several times the largest site of 2026."""
MOST_TEXT = 200
"""Characters of a name that is carried along."""
_BLANK = re.compile(r"\s*")
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@dataclass(frozen=True)
class Entry:
    """One measurement in a file, and where it is."""

    source: str
    values: object
    report: object = None
    """The whole that the measurement is a part of, where that tells more."""

    def find(self, key: str) -> object:
        """The value at a dotted key, or None. In a list, the member of that name."""
        value = self.values
        for part in key.split("."):
            if isinstance(value, list):
                value = next((item for item in value if isinstance(item, dict) and item.get("name") == part), None)
            else:
                value = value.get(part) if isinstance(value, dict) else None
        return value

    def has(self, *keys: str) -> bool:
        """Whether one of the keys has a value."""
        return any(self.find(key) is not None for key in keys)

    def optional(self, cure: str, *keys: str, zero: bool = False) -> float | None:
        """The number at the first key that has a value, or None. Raises PlannerError for values not above 0.

        zero: whether 0 is a value too.
        """
        for key in keys:
            value = self.find(key)
            if value is None:
                continue
            if (
                isinstance(value, bool)
                or not isinstance(value, int | float)
                or not (0 < value <= MOST or (zero and value == 0))
            ):
                what = f"not a number {'of at least 0' if zero else 'above 0'} and up to {MOST:g}"
                raise PlannerError(f'{self.source}: "{key}" is {visible(repr(value)[:40])}, {what}; {cure}')
            return float(value)
        return None

    def number(self, cure: str, *keys: str) -> float:
        """The number at the first key that has a value. Raises PlannerError if none has."""
        value = self.optional(cure, *keys)
        if value is None:
            names = " or ".join(f'"{key}"' for key in keys)
            raise PlannerError(f"{self.source}: {names} is missing; {cure}")
        return value

    def measured(self, cure: str, *keys: str) -> float | None:
        """As `optional`; 0 is what a tool writes that has not measured it."""
        value = self.optional(cure, *keys, zero=True)
        return value or None

    def count(self, cure: str, *keys: str) -> int | None:
        """The whole number of things at the first key that has a value, or None. Raises PlannerError."""
        value = self.optional(cure, *keys)
        if value is not None and (value != int(value) or value > MOST_COUNT):
            names = " or ".join(f'"{key}"' for key in keys)
            raise PlannerError(
                f"{self.source}: {names} is {value:g}, not a whole number from 1 to {MOST_COUNT:,}; {cure}"
            )
        return None if value is None else int(value)

    def text(self, *keys: str) -> str | None:
        """The text at the first key that has one, harmless for a terminal; or None."""
        for key in keys:
            value = self.find(key)
            if isinstance(value, str) and value.strip():
                return visible(value.strip()[:MOST_TEXT])
        return None


def read_entries(path: Path) -> list[Entry]:
    """The measurements of a file of JSON, JSON lines, CSV or YAML. Raises PlannerError for what holds none."""
    text = _text(path)
    if text[0] in "{[":
        entries = _json_entries(text, path)
    elif re.search(r"^benchmarks:", text, re.MULTILINE):
        entries = _unfold(Entry(str(path), _yaml(text, path)))
    else:
        entries = _csv_entries(text, path)
    if not entries:
        raise PlannerError(f"{path}: contains no measurement; give one of: {SHAPES}")
    return entries


def _text(path: Path) -> str:
    if not is_file(path):
        raise PlannerError(f"{path} is not a file; check the path")
    content = read_input(path, cure="check the path", most=MOST_MEASURED_BYTES, error=PlannerError)
    try:
        text = content.decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise PlannerError(f"{path}: is not UTF-8 text; give one of: {SHAPES}") from error
    if not text:
        raise PlannerError(f"{path}: is empty; give one of: {SHAPES}")
    return text


def _json_entries(text: str, path: Path) -> list[Entry]:
    """Entries of one document, or of several one after the other, as JSON lines and `--append-result` have them."""
    documents: list[object] = []
    start, decoder = 0, json.JSONDecoder()
    try:
        while start < len(text):
            document, end = decoder.raw_decode(text, start)
            documents.append(document)
            blank = _BLANK.match(text, end)
            start = blank.end() if blank else end
    except (ValueError, RecursionError) as error:
        raise PlannerError(f"{path}: is not valid JSON ({str(error).splitlines()[0]}); generate it again") from error
    if len(documents) == 1 and isinstance(documents[0], list):
        documents = documents[0]
    elif len(documents) == 1:
        return _unfold(Entry(str(path), documents[0]))
    named = (Entry(f"{path}, entry {number}", document) for number, document in enumerate(documents, 1))
    return [entry for whole in named for entry in _unfold(whole)]


def _yaml(text: str, path: Path) -> object:
    try:
        return yaml.load(text, _LOADER)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        reason = (str(error).splitlines() or ["too deep"])[0]
        raise PlannerError(f"{path}: is not valid YAML ({reason}); generate it again") from error


def _unfold(entry: Entry) -> list[Entry]:
    """The benchmarks of a GuideLLM report, or the entry itself."""
    benchmarks = entry.find("benchmarks")
    if not isinstance(benchmarks, list):
        return [entry]
    return [
        Entry(f"{entry.source}, benchmark {number}", benchmark, report=entry.values)
        for number, benchmark in enumerate(benchmarks, 1)
    ]


def _csv_entries(text: str, path: Path) -> list[Entry]:
    reader = csv.reader(io.StringIO(text))
    try:
        rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise PlannerError(
            f"{path}, line {reader.line_num}: is not valid CSV ({error}); give one of: {SHAPES}"
        ) from error
    header = rows[0][1] if rows else []
    if header[:2] == ["Metric", "avg"]:
        return [Entry(str(path), _metrics(row for _, row in rows))]
    if header[:1] == ["Run Info"]:
        raise PlannerError(
            f"{path}: GuideLLM leaves columns out of its CSV where a benchmark has no value, so that cells and names "
            "do not match; give its JSON or YAML"
        )
    if len(set(header)) < len(header):
        raise PlannerError(f"{path}: two columns have the same name; give every column one name")
    entries = []
    for line, row in rows[1:]:
        if len(row) != len(header):
            raise PlannerError(
                f"{path}, line {line}: has {len(row)} cells for {len(header)} columns; give a value for every column, "
                "empty where it is unknown"
            )
        entries.append(Entry(f"{path}, line {line}", dict(zip(header, map(_cell, row), strict=True))))
    if not entries and not {"step_ms", "isl", "tpot_ms"} & set(header):
        raise PlannerError(f"{path}: is in none of the known formats; give one of: {SHAPES}")
    return entries


def _metrics(rows: Iterable[list[str]]) -> dict[str, object]:
    """The tables `Metric, avg, ...` and `Metric, Value` of AIPerf and GenAI-Perf as their JSON says it."""
    metrics: dict[str, object] = {}
    for row in rows:
        name, _, unit = row[0].partition(" (")
        if len(row) > 1:  # GenAI-Perf groups thousands with commas
            value = {"unit": unit.rstrip(")"), "avg": _cell(row[1].replace(",", ""))}
            metrics.setdefault(name.lower().replace(" ", "_"), value)
    return metrics


def _cell(text: str) -> float | str | None:
    """A number, a text, or None where nothing stands."""
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        return text
