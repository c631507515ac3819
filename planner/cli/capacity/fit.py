"""planner capacity fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.capacity.options import EngineName, Gpus, Kv, Model, Node, Settings, Weights, study_of
from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from planner.studies.capacity.fit import EngineFit


def fit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Measured steps, or the output of a benchmark tool.")
    ],
    node: Node = "h800",
    model: Model = "deepseek-r1",
    engine: EngineName = None,
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    server_gpus: Annotated[
        int | None,
        typer.Option(
            "--server-gpus",
            help="GPUs behind the measured endpoint, where the file does not tell [default: the unit's].",
        ),
    ] = None,
    sets: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the fit as TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Fit the capacity model to measurements of your own, from a single point on.

    FILE: CSV or JSON with streams (per GPU), kv_tokens and step_ms; or what vLLM, SGLang, TensorRT-LLM, GuideLLM,
    AIPerf, GenAI-Perf or InferenceX wrote. The points of several files are combined. The fit carries over to other
    batches, lengths and parallelism of the same model, GPU and engine, with a wider band.
    """
    from planner.studies.capacity.fit import fit_files, write_calibration

    study = study_of(node, model, engine=engine, weights=weights, kv=kv, gpus=gpus, sets=sets)
    fitted = fit_files(study, files, server_gpus)
    if out is not None:
        write_calibration(fitted, out)
    if as_json:
        print_json(fitted)
        return
    _print(fitted)
    if out is not None:
        print_line(f"{out}: use it with --set calibration={out}, or in a scenario as fleet.engine.calibration")


def _print(fitted: "EngineFit") -> None:
    count = len(fitted.points)
    print_line(
        f"{fitted.model} on {fitted.node} under {fitted.engine}, {count} point{'s' if count > 1 else ''}: kernels take "
        f"{fitted.kernels:.3f} times what the catalogue gives, prompts {fitted.prompts:.3f} times that, and overheads "
        f"{fitted.overheads:.3f} times (fitted)"
    )
    of_others = "" if fitted.left_out_rms is None else f"; of points left out of the fit {fitted.left_out_rms:.1%}"
    print_line(f"  rms {fitted.rms:.1%}{of_others}")
    print_line(
        f"  90 % band of a time per output token: {fitted.tpot_low:.2f} to {fitted.tpot_high:.2f} times the fitted one"
    )
    rows = [
        (
            point.source,
            point.metric,
            f"{point.streams:,.1f}",
            f"{point.input_tokens:,.0f}",
            "" if point.output_tokens is None else f"{point.output_tokens:,.0f}",
            f"{point.measured_ms:,.2f}",
            f"{point.model_ms:,.2f}",
            f"{point.relative_error:+.1%}",
            "" if point.left_out_error is None else f"{point.left_out_error:+.1%}",
        )
        for point in fitted.points
    ]
    heads = ("<point", "<metric", "streams", "tokens in", "out", "measured ms", "fitted ms", "error", "if left out")
    print_table(heads, rows)
    for note in fitted.notes:
        print_line(f"  {note}")
