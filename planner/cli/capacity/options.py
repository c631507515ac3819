"""Options of the capacity commands, and the study that they describe."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.options import store_at
from planner.cli.ranges import within
from planner.errors import ScenarioError, UsageError

if TYPE_CHECKING:
    from planner.studies.capacity.study import EngineStudy

# the ends of the ranges are assumed: orders of magnitude beyond any sensible value, and short enough to print
_TARGET = within("give a finite number above 0 ms", 1e-6, 1e6)
_KV_TOKENS = within("kv_tokens must be above 0", 1, 1e8)
_HIT = within("a hit ratio is at least 0 and below 1", 0, 0.9999)
MOST_GPUS = 1_000_000
"""Of a unit. Assumed: several times the largest site of 2026."""

Node = Annotated[str, typer.Option("--node", metavar="NODE", help="Kind of node: a built-in name or a TOML file.")]
Model = Annotated[str, typer.Option("--model", metavar="MODEL", help="Model: a built-in name or a TOML file.")]
EngineName = Annotated[
    str | None,
    typer.Option(
        "--engine",
        metavar="ENGINE",
        help="Serving engine: a built-in name or a TOML file [default: vllm; DeepSeek's own for R1].",
    ),
]
Weights = Annotated[str | None, typer.Option("--weights", help="Number format of weights [default: as published].")]
Kv = Annotated[str | None, typer.Option("--kv", help="Number format of the KV cache: bf16 or fp8.")]
Gpus = Annotated[
    int | None, typer.Option("--gpus", metavar="N", help="GPUs of a decode unit [default: the model's usual number].")
]
Target = Annotated[
    float | None,
    typer.Option("--tpot-ms", callback=_TARGET, help="Target time per output token [default: 50 ms]."),
]
KvTokens = Annotated[
    float | None,
    typer.Option("--kv-tokens", callback=_KV_TOKENS, help="Mean KV length [default: the published day's]."),
]
HitRatio = Annotated[
    float | None, typer.Option("--hit", callback=_HIT, help="Cache hit ratio [default: the published day's].")
]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Override a field of fleet.engine; may be repeated."),
]


def study_of(
    node: str,
    model: str,
    *,
    engine: str | None = None,
    weights: str | None = None,
    kv: str | None = None,
    gpus: int | None = None,
    target: float | None = None,
    kv_tokens: float | None = None,
    hit: float | None = None,
    trace: str | None = None,
    sets: list[str] | None = None,
    db: Path | None = None,
) -> "EngineStudy":
    """The study that the options describe. Raises UsageError."""
    from planner.planning.capacity import trace_workload
    from planner.studies.capacity.study import make_study

    if gpus is not None and not 1 <= gpus <= MOST_GPUS:
        raise UsageError(f"--gpus is {gpus}; give the GPUs of a decode unit, from 1 to {MOST_GPUS:,}")
    given = {"name": engine, "weights": weights, "kv": kv}
    overrides = [*(sets or []), *(f"{name}={value}" for name, value in given.items() if value is not None)]
    workload = None if trace is None else trace_workload(store_at(db), trace)
    with naming_fields_alone():
        return make_study(
            node,
            model,
            overrides,
            workload=workload,
            kv_tokens=kv_tokens,
            hit_ratio=hit,
            target_ms=target,
            decode_gpus=gpus,
        )


@contextmanager
def naming_fields_alone() -> Iterator[None]:
    """Messages on invalid options name only the field, not the default scenario, which the user did not write."""
    try:
        yield
    except ScenarioError as error:
        raise UsageError("; ".join(error.problems)) from error
