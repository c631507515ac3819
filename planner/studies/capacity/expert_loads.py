"""Expert loads, read from files or drawn: matrices of layers by experts."""

import json
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import polars as pl

from planner.errors import PlannerError, UsageError
from planner.input_files import MOST_MEASURED_BYTES, is_file, read_input
from planner.units import Floats, Ints

MOST_ENTRIES = 50_000_000
"""Loads or slots of one placement at most, 0.4 GB. Assumed: thousands of times a model's layers times experts."""
MOST_LOAD = 1e15
"""Tokens of one expert at most. Assumed: whole tokens up to here add up without loss in a float."""
MOST_SIGMA = 10.0
"""Largest spread of drawn loads. Assumed: one expert in six then has 22,000 times the median."""


def read_loads(path: Path) -> Floats:
    """A matrix of layers by experts from CSV (with or without a header), Parquet or NPY. Raises PlannerError."""
    if not is_file(path):
        raise PlannerError(f"{path} is not a file; check the path")
    try:
        if path.suffix == ".npy":
            with path.open("rb") as file:
                matrix = np.load(file, allow_pickle=False)
        elif path.suffix == ".parquet":
            matrix = pl.read_parquet(path).cast(pl.Float64).to_numpy()
        elif path.suffix == ".csv":
            text = pl.read_csv(path, has_header=False, infer_schema=False)
            header = text.head(1).cast(pl.Float64, strict=False).null_count().sum_horizontal().item() > 0
            matrix = text.slice(int(header)).cast(pl.Float64).to_numpy()
        else:
            raise UsageError(f'{path} has the extension "{path.suffix}"; give a .csv, .parquet or .npy file')
    except OSError as error:
        raise PlannerError(f"{path}: cannot be read: {error.strerror or error}; check the path") from error
    except (ValueError, EOFError, BadZipFile, pl.exceptions.PolarsError) as error:
        reason = str(error).splitlines()[0]
        raise PlannerError(
            f"{path} is not a matrix of numbers ({reason}); give a row per layer and a column per expert"
        ) from error
    if not isinstance(matrix, np.ndarray) or matrix.ndim != 2 or matrix.dtype.kind not in "iuf":
        raise PlannerError(f"{path} is not a matrix of numbers; give a row per layer and a column per expert")
    loads: Floats = np.ascontiguousarray(matrix, np.float64)
    if (loads > MOST_LOAD).any():
        raise PlannerError(f"{path} contains {loads.max():g}; loads must be numbers from 0 to {MOST_LOAD:g}")
    return loads


def draw_loads(layers: int, experts: int, sigma: float, seed: int) -> Floats:
    """Lognormal loads of whole tokens, independent between experts. Returns (layers, experts). Raises UsageError."""
    if layers < 1 or experts < 1:
        raise UsageError(f"--layers is {layers} and --experts is {experts}; give at least 1 of each")
    if not 0 <= sigma <= MOST_SIGMA:
        raise UsageError(f"--sigma is {sigma:g}; give a number from 0 to {MOST_SIGMA:g}")
    if seed < 0:
        raise UsageError(f"--seed is {seed}; give a whole number, at least 0")
    check_size(layers, "--layers", experts, "--experts")
    random = np.random.default_rng(seed)
    loads: Floats = np.round(random.lognormal(0.0, sigma, (layers, experts)) * 1000)
    return loads


def check_size(layers: int, of_layers: str, each: int, of_each: str) -> None:
    """Raises UsageError if layers with so many loads or slots each would not fit in memory."""
    if layers * each > MOST_ENTRIES:
        raise UsageError(
            f"{of_layers} {layers} times {of_each} {each} is more than {MOST_ENTRIES:,}; lower one of them"
        )


def read_slots(path: Path, layers: int, replicas: int) -> Ints:
    """The slots of an earlier placement, as `planner experts --json` printed it. Raises PlannerError."""
    try:
        content = read_input(path, cure="check the path", most=MOST_MEASURED_BYTES, error=PlannerError)
        document = json.loads(content)
        slots: Ints = np.array([layer["slots"] for layer in document["layers"]], np.int64)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise PlannerError(f"{path} is not a placement; give the output of `planner experts --json`") from error
    if slots.shape != (layers, replicas):
        raise PlannerError(
            f"{path} has {slots.shape} layers and slots, but the new placement has {(layers, replicas)}; "
            "give a placement of the same model and layout"
        )
    return slots
