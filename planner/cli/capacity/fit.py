"""planner capacity fit."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from planner.cli.capacity.options import Gpus, Kv, Model, Node, Settings, Weights, study_of
from planner.cli.options import Json
from planner.cli.output import print_json, print_line, print_table

if TYPE_CHECKING:
    from planner.studies.capacity.fit import DecodeFit


def fit(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Measured steps, or the output of a benchmark tool.")
    ],
    node: Node = "h800",
    model: Model = "deepseek-r1",
    weights: Weights = None,
    kv: Kv = None,
    gpus: Gpus = None,
    server_gpus: Annotated[
        int | None,
        typer.Option(
            "--server-gpus", help="GPUs behind the measured endpoint, where the file does not tell: default 1."
        ),
    ] = None,
    sets: Settings = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write the fit as TOML.")] = None,
    as_json: Json = False,
) -> None:
    """Fit the decode model to measured steps.

    FILE: CSV or JSON with streams (per GPU), kv_tokens and step_ms; or what vLLM, SGLang, TensorRT-LLM, GuideLLM,
    AIPerf, GenAI-Perf or InferenceX wrote. The points of several files are combined. The fit is valid only between the
    measured points.
    """
    from planner.studies.capacity.fit import fit_files, write_calibration

    study = study_of(node, model, weights=weights, kv=kv, gpus=gpus, sets=sets)
    fitted = fit_files(study, files, server_gpus)
    if out is not None:
        write_calibration(fitted, out)
    if as_json:
        print_json(fitted)
        return
    _print(fitted)
    if out is not None:
        print_line(f"{out}: use it with --set calibration={out}, or in a scenario as fleet.engine.calibration")


def _print(fitted: "DecodeFit") -> None:
    valid = fitted.validity
    print_line(
        f"{fitted.model} on {fitted.node}, {len(fitted.points)} points: kernels take "
        f"{fitted.kernel_factor:.3f} times what the catalogue gives, {fitted.layer_us:.1f} us per layer and "
        f"{fitted.row_us:.3f} us per layer and row on top (fitted)"
    )
    print_line(
        f"  rms {fitted.rms:.1%}; of points left out of the fit {fitted.left_out_rms:.1%}; valid from "
        f"{valid.least_streams:g} to {valid.most_streams:g} streams per GPU and "
        f"{valid.least_kv_tokens:,.0f} to {valid.most_kv_tokens:,.0f} tokens of KV"
    )
    rows = [
        (
            point.source,
            f"{point.streams:,.1f}",
            f"{point.kv_tokens:,.0f}",
            f"{point.step_ms:,.2f}",
            f"{point.model_ms:,.2f}",
            f"{point.relative_error:+.1%}",
            f"{point.left_out_error:+.1%}",
        )
        for point in fitted.points
    ]
    print_table(("<point", "streams", "kv tokens", "measured ms", "fitted ms", "error", "if left out"), rows)
    for point in fitted.points:
        for note in point.notes:
            print_line(f"  {point.source}: {note}")
