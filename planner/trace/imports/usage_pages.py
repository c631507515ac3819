"""Answers of usage APIs, files of dashboards and of benchmarks that are something else than a log of requests."""

from collections.abc import Sequence
from typing import Any

from planner.errors import TraceError
from planner.trace.imports import documents, paths
from planner.trace.imports.unpacking import Log

_COMPLETIONS = "organization.usage.completions.result"
_USAGE = "the pages of /v1/organization/usage/completions"


def check_known(log: Log, names: Sequence[str]) -> None:
    """Raises TraceError for files that are known and cannot be read. names: columns, or keys of the first record."""
    has = set(names)
    if {"num_model_requests", "start_time_iso"} <= has:
        raise TraceError(
            f"{log}: is the CSV export of OpenAI's usage dashboard, a row per day and group; save {_USAGE} as JSON "
            "instead, with bucket_width=1h"
        )
    if {"amount_value", "start_time_iso"} <= has:
        raise TraceError(
            f"{log}: is the CSV export of OpenAI's cost dashboard, which has no tokens; save {_USAGE} as JSON instead"
        )
    if {"completed", "total_input_tokens", "total_output_tokens"} <= has and "start_times" not in has:
        raise TraceError(
            f"{log}: is a summary of vllm bench serve, without its requests; run it with --save-result --save-detailed"
        )
    if {"experiments"} <= has and has & {"version", "service_kind", "endpoint"}:
        raise TraceError(
            f"{log}: is a profile export of GenAI-Perf, which has no numbers of tokens; run AIPerf, which followed it, "
            "and give its profile_export.jsonl"
        )


def check_pages(log: Log, format_name: str) -> None:
    """Raises TraceError for answers of OpenAI that are not the usage of completions."""
    if format_name != "openai-usage":
        return
    for kind in _kinds(log):
        if kind == "organization.costs.result":
            raise TraceError(
                f"{log}: is an answer of OpenAI's costs API, which has dollars and no tokens; save {_USAGE} instead"
            )
        if kind.startswith("organization.usage.") and kind != _COMPLETIONS:
            what = kind.removeprefix("organization.usage.").removesuffix(".result").replace("_", " ")
            raise TraceError(f"{log}: is OpenAI's usage of {what}, and not of completions; save {_USAGE} instead")


def _kinds(log: Log) -> list[str]:
    """What the results of the first pages say that they are."""
    kinds: list[str] = []
    for record in paths.parsed(documents.first_records(log)):
        pages: list[Any] = record["data"] if isinstance(record.get("data"), list) else [record]
        for bucket in pages:
            results = bucket.get("results") if isinstance(bucket, dict) else None
            for result in results if isinstance(results, list) else ():
                if isinstance(result, dict) and isinstance(result.get("object"), str):
                    kinds.append(result["object"])
    return kinds
