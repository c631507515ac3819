"""Condenses the kernel tables of aiconfigurator-core to the curves of GPUs in the catalogue: `make curves`.

Writes what stands below the marker line of planner/catalogue/data/hardware/*.toml, the same bytes every time, and
prints how far curves are from tables. Give names of files to write only those.
"""

import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import planner
import planner.catalogue.read
from planner.core.fleet.shapes import WEIGHT_BYTES
from planner.settings.closed import WeightDtype
from planner.settings.hardware import Hardware
from planner.units import Floats
from tests.helpers import kernel_fits as fits
from tests.helpers import kernel_tables as kernels

MARKER = "# Measured kernels, written by make curves."
HARDWARE = Path(planner.catalogue.read.__file__).parent / "data" / "hardware"
PAGE = Path(planner.__file__).parents[1] / "docs" / "explanation" / "kernels.md"
TABLE_START, TABLE_END = "<!-- from here written by make curves -->", "<!-- to here -->"
OPERATIONS = ("products", "experts", "attention", "latent_attention", "exchange")
SYSTEMS = {
    "a100": "a100_sxm",
    "b200": "b200_sxm",
    "b300": "b300_sxm",
    "gb200": "gb200",
    "gb300": "gb300",
    "h100": "h100_sxm",
    "h200": "h200_sxm",
    "l40s": "l40s",
    "rtx-pro-6000": "rtx_pro_6000_server",
}
"""Files of hardware, and systems of the package whose kernels were measured: its a30, a100_pcie, h100_pcie and l4 hold
published figures only, and on its b60 neither latent attention nor experts with balanced loads were."""
FORMATS: tuple[WeightDtype, ...] = ("bf16", "fp8", "int4", "fp4")
FEWEST = 300
"""Calls of an operation below which it counts as not measured."""
KILOBYTES = tuple(1.024 * 4**power for power in range(10))
"""Of all-reduces: from a kilobyte to 268 MB."""


@dataclass(frozen=True, kw_only=True)
class Distance:
    """How far a curve is from what was measured: calls, median of |log(measured / curve)|, and measured / curve."""

    what: str
    calls: int
    off: float
    ratio: float


@dataclass(frozen=True, kw_only=True)
class Condensed:
    """The curves of one GPU as a document, and their distances from tables."""

    curves: dict[str, Any]
    distances: list[Distance]


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """What the hand-written part of a file says of peaks."""

    hbm_tb_s: float
    dense_tflops: Mapping[str, float]
    reached_tb_s: float = np.inf
    """What products of few rows reach whose weights no cache holds."""

    def peaks(self, dtype: WeightDtype) -> fits.Peaks:
        """Of a format; without a peak of its own it is computed in bf16."""
        return fits.Peaks(
            hbm_tb_s=self.hbm_tb_s,
            tflops=self.dense_tflops.get(dtype, self.dense_tflops["bf16"]),
            weight_bytes=WEIGHT_BYTES[dtype],
        )


def condensed(name: str, gpu: Gpu) -> Condensed:
    """The curves of a GPU."""
    tables = kernels.tables_of(SYSTEMS[name])
    assert tables.measured, f"{kernels.DISTRIBUTION} holds no kernels of {SYSTEMS[name]}"
    bf16 = gpu.dense_tflops["bf16"]
    large = kernels.products(tables, "bf16")
    assert large is not None, "measured on every GPU"
    gpu = replace(gpu, reached_tb_s=fits.reached_tb_s(large))
    distances: list[Distance] = []
    source = f"fitted: to kernels of {SYSTEMS[name]} in {kernels.DISTRIBUTION} {kernels.version()} (Apache-2.0), "
    source += f"measured under {tables.engines()}"
    curves: dict[str, Any] = {
        "source": source,
        "products": _products(tables, gpu, distances),
        "experts": _experts(tables, gpu, distances),
    }
    for key in ("attention", "latent_attention"):
        curves[key] = {}
        for cache in kernels.CACHES.values():
            calls = (
                kernels.attention(tables, cache)
                if key == "attention"
                else kernels.latent_attention(tables, cache, bf16)
            )
            if calls is not None and len(calls.us) >= FEWEST:
                calls = calls.read_from_memory(gpu.reached_tb_s)
                figures = fits.fitted_attention(calls, gpu.hbm_tb_s)
                distances.append(_distance(f"{key} {cache}", calls.us, fits.attention_us(figures, calls, gpu.hbm_tb_s)))
                curves[key][cache] = figures
    by_length = kernels.prompt_attention(tables, bf16)
    curves["prompt_attention"] = {
        "tokens": list(by_length),
        "share": [float(f"{min(share, 1.0):.3g}") for share in by_length.values()],
    }
    curves["all_reduce"] = _all_reduce(kernels.all_reduce(tables))
    exchange = kernels.exchange(tables)
    if exchange is not None:
        curves["source"] += f"; exchange: {exchange[0]}"
        curves["exchange"] = _exchange(exchange[1], distances)
    return Condensed(curves=curves, distances=distances)


def _products(tables: kernels.Tables, gpu: Gpu, distances: list[Distance]) -> dict[str, Any]:
    share = {}
    for dtype in FORMATS:
        seen = kernels.products(tables, dtype)
        if seen is not None and len(seen.us) >= FEWEST:
            peaks, seen = gpu.peaks(dtype), seen.read_from_memory(gpu.reached_tb_s)
            share[dtype] = fits.shares(fits.grid_us(seen, peaks, gpu.reached_tb_s), peaks)
            distances.append(_off_grid(f"products {dtype}", seen, share[dtype], peaks))
    return _grid(share)


def _experts(tables: kernels.Tables, gpu: Gpu, distances: list[Distance]) -> dict[str, Any]:
    """int4 is the better of two weight-only formats of four bits; so is fp4 where the GPU does not compute in it."""
    share = {}
    for dtype in FORMATS:
        kinds = {"int4": ("int4", "mxfp4"), "fp4": ("fp4",) if "fp4" in gpu.dense_tflops else ("mxfp4",)}
        found = [kernels.experts(tables, kind) for kind in kinds.get(dtype, (dtype,))]
        enough = [part for part in found if part is not None and len(part.us) >= FEWEST]
        seen = [part.read_from_memory(gpu.reached_tb_s) for part in enough]
        if seen:
            peaks = gpu.peaks(dtype)
            share[dtype] = fits.shares(
                np.minimum.reduce([fits.grid_us(part, peaks, gpu.reached_tb_s) for part in seen]), peaks
            )
            distances.append(_off_grid(f"experts {dtype}", _together(seen), share[dtype], peaks))
    return _grid(share)


def _grid(share: Mapping[WeightDtype, Sequence[Sequence[float]]]) -> dict[str, Any]:
    return {"rows": list(fits.ROWS), "weight_mb": list(fits.WEIGHT_MB), "share": dict(share)}


def _together(parts: Sequence[fits.Products]) -> fits.Products:
    return fits.Products(
        rows=np.concatenate([part.rows for part in parts]),
        mb=np.concatenate([part.mb for part in parts]),
        us=np.concatenate([part.us for part in parts]),
    )


def _all_reduce(seen: pl.DataFrame) -> dict[str, Any]:
    """Times that do not fall with bytes."""
    gpus = seen["num_gpus"].unique().sort().to_list()
    lines = []
    for count in gpus:
        line = seen.filter(pl.col("num_gpus") == count)
        log_us = np.interp(np.log(np.array(KILOBYTES) * 1e3), np.log(line["bytes"]), np.log(line["us"]))
        lines.append([float(f"{us:.3g}") for us in np.maximum.accumulate(np.exp(log_us))])
    return {"gpus": gpus, "kilobytes": [round(size, 3) for size in KILOBYTES], "us": lines}


def _exchange(seen: pl.DataFrame, distances: list[Distance]) -> dict[str, float]:
    figures = {}
    for phase in ("dispatch", "combine"):
        part = seen.filter(pl.col("phase") == phase)
        mb, us = part["mb"].to_numpy(), part["us"].to_numpy()
        line = fits.fitted_line(mb, us)
        distances.append(_distance(f"exchange {phase}", us, fits.line_us(line, mb)))
        figures |= {f"{phase}_start_us": line["start_us"], f"{phase}_gb_s": line["gb_s"]}
    return figures


def _off_grid(what: str, seen: fits.Products, share: Sequence[Sequence[float]], peaks: fits.Peaks) -> Distance:
    """Of calls inside the grid."""
    inside = (seen.rows <= fits.ROWS[-1]) & (seen.mb >= fits.WEIGHT_MB[0]) & (seen.mb <= fits.WEIGHT_MB[-1])
    curve = fits.between(fits.times_of(share, peaks), seen.rows[inside], seen.mb[inside])
    return _distance(what, seen.us[inside], curve)


def _distance(what: str, measured: Floats, curve: Floats) -> Distance:
    ratio = np.log(measured / curve)
    return Distance(
        what=what, calls=len(ratio), off=float(np.median(np.abs(ratio))), ratio=float(np.exp(np.median(ratio)))
    )


def lines_of(curves: Mapping[str, Any]) -> Iterator[str]:
    """The curves as TOML, a line of a grid to a line of the file."""
    yield MARKER
    yield "[curves]"
    yield f'source = "{curves["source"]}"'
    for key, table in curves.items():
        if key == "source":
            continue
        yield ""
        yield f"[curves.{key}]"
        for name, value in table.items():
            if name != "share" or not isinstance(value, dict):
                yield f"{name} = {_value(value)}"
        if isinstance(table.get("share"), dict):
            yield f"[curves.{key}.share]"
            for dtype, grid in table["share"].items():
                yield f"{dtype} = {_value(grid)}"


def _value(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_value(part)}" for name, part in value.items()) + " }"
    if isinstance(value, list | tuple):
        if value and isinstance(value[0], list | tuple):
            return "[\n" + "".join(f"    {_value(part)},\n" for part in value) + "]"
        return "[" + ", ".join(_value(part) for part in value) + "]"
    return f"{value:g}" if isinstance(value, int) else repr(value)


def written(file: Path) -> list[Distance]:
    """Writes the part of a file below the marker, and says how far the curves are from the tables."""
    above = file.read_text(encoding="utf-8").partition(MARKER)[0].rstrip("\n")
    gpu = tomllib.loads(above)
    found = condensed(file.stem, Gpu(hbm_tb_s=gpu["hbm_tb_s"], dense_tflops=gpu["dense_tflops"]))
    text = "\n".join([above, "", *lines_of(found.curves)]) + "\n"
    Hardware.model_validate(tomllib.loads(text))
    file.write_text(text, encoding="utf-8")
    return found.distances


def row_of(name: str, engines: str, distances: Sequence[Distance]) -> str:
    """A row of the table of distances: formats of each operation with their distance and ratio."""
    cells = []
    for what in OPERATIONS:
        of_it = [line for line in distances if line.what.rpartition(" ")[0] == what]
        formats = [f"{line.what.rpartition(' ')[2]} {np.expm1(line.off):.0%} ({line.ratio:.2f})" for line in of_it]
        cells.append(", ".join(formats) or "-")
    return f"| `{name}` | {' | '.join([engines, *cells])} |"


def main(names: Sequence[str]) -> None:
    """Writes the files of these names; without names all, and the table of distances on the page about kernels."""
    rows = []
    for name in names or sorted(SYSTEMS):
        distances = written(HARDWARE / f"{name}.toml")
        rows.append(row_of(name, kernels.tables_of(SYSTEMS[name]).engines(), distances))
        print(rows[-1])
    if not names:
        heads = ["GPU", "Engines", *(what.replace("_", " ").capitalize() for what in OPERATIONS)]
        table = "\n".join([f"| {' | '.join(heads)} |", "|---" * len(heads) + "|", *rows])
        before, start, rest = PAGE.read_text(encoding="utf-8").partition(TABLE_START)
        _, end, after = rest.partition(TABLE_END)
        PAGE.write_text(f"{before}{start}\n\n{table}\n\n{end}{after}", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
