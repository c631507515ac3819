"""Reads the kernel tables of aiconfigurator-core: only those of single operations, by name, and nothing else of it.

Each function returns what was measured of one operation on one system, the best of the engines' kernels where several
measured the same call, or None where its tables hold nothing of it.
"""

import importlib.metadata
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from planner.core.fleet.shapes import SCALE_BYTES, SCALED_GROUP, WEIGHT_BYTES
from planner.settings.closed import WeightDtype
from tests.helpers.kernel_fits import Attention, Products

PACKAGE, DISTRIBUTION = "aiconfigurator_core", "aiconfigurator-core"
PRODUCTS = {"bfloat16": "bf16", "fp8": "fp8", "fp8_block": "fp8", "nvfp4": "fp4", "int4_wo": "int4"}
EXPERTS = {**PRODUCTS, "w4a16_mxfp4": "mxfp4", "w4a16_mxfp4_cutlass": "mxfp4"}
"""Number formats; weight-only fp4 is apart: it is another kernel than products in fp4."""
CACHES = {"bfloat16": "bf16", "fp8": "fp8"}
LATENT_VALUES, LATENT_ROTARY = 512, 64
LATENT_BYTES = {
    "bf16": 2.0 * (LATENT_VALUES + LATENT_ROTARY),
    "fp8": LATENT_VALUES + LATENT_VALUES / SCALED_GROUP * SCALE_BYTES + 2.0 * LATENT_ROTARY,
}
"""Of one token and layer, as core/fleet/shapes counts them."""
KEYS = ["num_tokens", "hidden_size", "inter_size", "topk", "num_experts", "moe_tp_size", "moe_ep_size"]


@dataclass(frozen=True, kw_only=True)
class Tables:
    """The tables of one system."""

    folder: Path

    def files(self, family: str, name: str) -> list[Path]:
        """Files of one operation, by engine and version."""
        return sorted(self.folder.glob(f"{family}/*/*/{name}.parquet"))

    @property
    def measured(self) -> bool:
        """Whether there are any; of some systems the package holds published figures only."""
        return bool(self.files("gemm", "gemm_perf"))

    def engines(self) -> str:
        """Engines and their newest versions, in words."""
        newest: dict[str, str] = {}
        for file in self.files("gemm", "gemm_perf") + self.files("moe", "moe_perf"):
            engine, version = file.parts[-3:-1]
            if engine not in newest or _order(version) > _order(newest[engine]):
                newest[engine] = version
        words = {"sglang": "SGLang", "trtllm": "TensorRT-LLM", "vllm": "vLLM"}
        return ", ".join(f"{words[engine]} {newest[engine]}" for engine in sorted(newest))


def tables_of(system: str) -> Tables:
    """Where the installed package holds the tables of a system."""
    found = importlib.util.find_spec(PACKAGE)
    assert found is not None, f"{DISTRIBUTION} is not installed; run make curves"
    assert found.submodule_search_locations is not None, "a package"
    return Tables(folder=Path(found.submodule_search_locations[0]) / "systems" / "data" / system)


def version() -> str:
    """Of the installed package."""
    return importlib.metadata.version(DISTRIBUTION)


def products(tables: Tables, dtype: WeightDtype) -> Products | None:
    """Matrix products with weights of a format: shapes of layers, from 256 wide, at most 24 times longer than wide."""
    files = tables.files("gemm", "gemm_perf")
    if not files:
        return None
    seen = _read(files, ["gemm_dtype", "m", "n", "k", "latency"])
    long = pl.col("n") / pl.col("k")
    seen = seen.filter(
        _formats("gemm_dtype", PRODUCTS) == dtype, pl.col("n") >= 256, pl.col("k") >= 256, long.is_between(1 / 24, 24)
    )
    mb = pl.col("n") * pl.col("k") * WEIGHT_BYTES[dtype] / 1e6
    return _products(_best(seen, ["m", "n", "k"]), rows=pl.col("m"), mb=mb)


def experts(tables: Tables, kind: str) -> Products | None:
    """Fused products of routed experts that get the same tokens each.

    Args:
        tables: of a system.
        kind: a number format, or mxfp4: fp4 that is computed in bf16.
    """
    files = tables.files("moe", "moe_perf")
    if not files:
        return None
    # kernels of experts without a gate do other arithmetic
    seen = _read(files, [*KEYS, "moe_dtype", "distribution", "kernel_source", "latency"]).filter(
        pl.col("distribution") == "balanced",
        ~pl.col("kernel_source").str.contains("nongated"),
        _formats("moe_dtype", EXPERTS) == kind,
        pl.col("inter_size") / pl.col("moe_tp_size") >= 96,
        pl.col("num_experts") >= pl.col("moe_ep_size"),
    )
    copies = (pl.col("num_tokens") * pl.col("topk") / pl.col("moe_ep_size")).clip(1, None)
    touched = pl.min_horizontal(pl.col("num_experts") / pl.col("moe_ep_size"), copies)
    weight_bytes = 0.5 if kind == "mxfp4" else {str(name): size for name, size in WEIGHT_BYTES.items()}[kind]
    mb = touched * 3 * pl.col("hidden_size") * pl.col("inter_size") / pl.col("moe_tp_size") * weight_bytes / 1e6
    return _products(_best(seen, KEYS), rows=(copies / touched).clip(1, None), mb=mb)


def attention(tables: Tables, cache: str, head_dims: Sequence[int] = (64, 128)) -> Attention | None:
    """Attention of a decode step as engines run it: from 256 tokens, batches to 512, 1 to 8 KV heads, 0.3 MB to 4 GB.

    Many short sequences take longer than their bytes tell: about a wave of the GPU's processors at a time.
    """
    files = tables.files("attention", "generation_attention_perf")
    keys = ["batch_size", "num_heads", "num_key_value_heads", "head_dim", "step"]
    if not files:
        return None
    size = {"bf16": 2, "fp8": 1}[cache]
    seen = _best(
        _read(files, [*keys, "kv_cache_dtype", "window_size", "latency"]).filter(
            pl.col("window_size") == 0,
            _formats("kv_cache_dtype", CACHES) == cache,
            pl.col("head_dim").is_in(list(head_dims)),
            pl.col("batch_size") <= 512,
            pl.col("step") >= 255,
            pl.col("num_key_value_heads").is_between(1, 8),
            pl.col("num_heads") >= pl.col("num_key_value_heads"),
        ),
        keys,
    ).with_columns(
        mb=pl.col("batch_size")
        * (pl.col("step") + 1)
        * pl.col("num_key_value_heads")
        * pl.col("head_dim")
        * 2
        * size
        / 1e6
    )
    seen = seen.filter(pl.col("mb").is_between(0.3, 4000))
    return Attention(mb=seen["mb"].to_numpy(), us=seen["us"].to_numpy()) if seen.height else None


def latent_attention(tables: Tables, cache: str, bf16_tflops: float) -> Attention | None:
    """Latent attention of a decode step: batches to 512, 8 heads per GPU or more, 0.3 MB to 4 GB of KV."""
    files = tables.files("mla", "generation_mla_perf")
    keys = ["batch_size", "num_heads", "step"]
    if not files:
        return None
    cached = pl.col("batch_size") * (pl.col("step") + 1)
    flops = cached * pl.col("num_heads") * 2 * (2 * LATENT_VALUES + LATENT_ROTARY)
    seen = _best(
        _read(files, [*keys, "kv_cache_dtype", "latency"]).filter(
            _formats("kv_cache_dtype", CACHES) == cache,
            pl.col("batch_size") <= 512,
            pl.col("step") >= 255,
            pl.col("num_heads") >= 8,
        ),
        keys,
    ).with_columns(mb=cached * LATENT_BYTES[cache] / 1e6, computing_us=flops / bf16_tflops / 1e6)
    seen = seen.filter(pl.col("mb").is_between(0.3, 4000))
    if not seen.height:
        return None
    return Attention(mb=seen["mb"].to_numpy(), us=seen["us"].to_numpy(), computing_us=seen["computing_us"].to_numpy())


def prompt_attention(tables: Tables, bf16_tflops: float, least_us: float = 20) -> dict[int, float]:
    """Share of the bf16 peak by the prompt's length: the median of calls that are worth at least 20 us at the peak.

    Causal, heads of 128: every token sees half the prompt in the mean, 4 x 128 operations per head and pair.
    """
    files = tables.files("attention", "context_attention_perf")
    keys = ["batch_size", "isl", "num_heads"]
    if not files:
        return {}
    peak_us = 2.0 * pl.col("batch_size") * pl.col("isl") ** 2 * pl.col("num_heads") * 128 / bf16_tflops / 1e6
    columns = [*keys, "num_key_value_heads", "head_dim", "attn_dtype", "window_size", "latency"]
    seen = _best(
        _read(files, columns).filter(
            pl.col("window_size") == 0,
            pl.col("head_dim") == 128,
            pl.col("attn_dtype") == "bfloat16",
            pl.col("num_heads") >= 4,
            pl.col("num_heads") >= pl.col("num_key_value_heads"),
        ),
        keys,
    ).with_columns(peak_us=peak_us)
    seen = seen.filter(pl.col("peak_us") > least_us).group_by("isl").agg((pl.col("peak_us") / pl.col("us")).median())
    return {int(length): float(share) for length, share in seen.sort("isl").rows()}


def all_reduce(tables: Tables) -> pl.DataFrame:
    """All-reduce in a CUDA graph: num_gpus, bytes of one GPU, and us, the median over engines' newest versions.

    Sizes in the tables are numbers of elements of 2 bytes, as half and int8 of the same size tell.
    """
    newest: dict[str, Path] = {}
    for file in tables.files("comm", "custom_allreduce_perf"):
        engine = file.parts[-3]
        if engine not in newest or _order(file.parts[-2]) > _order(newest[engine].parts[-2]):
            newest[engine] = file
    parts = [
        pl.read_parquet(file)
        .filter(~pl.col("kernel_source").str.contains("eager"), pl.col("latency") > 0)
        .group_by("num_gpus", "message_size")
        .agg(us=pl.col("latency").min() * 1e3)
        for file in newest.values()
    ]
    seen = pl.concat(parts).group_by("num_gpus", "message_size").agg(pl.col("us").median())
    return seen.with_columns(bytes=pl.col("message_size") * 2).sort("num_gpus", "bytes")


def exchange(tables: Tables) -> tuple[str, pl.DataFrame] | None:
    """Dispatch in fp8 and combine in bf16: which kernels, and phase, MB of all copies of a GPU's tokens, us.

    TensorRT-LLM's all-to-all over a rack where it was measured; else DeepEP within a node, as SGLang runs it, its
    low-latency or normal kernels, whichever is faster. Copies for the GPU's own experts count too.
    """
    racks = tables.files("comm", "trtllm_alltoall_perf")
    if racks:
        return f"all-to-all of TensorRT-LLM {racks[-1].parts[-2]} over 8 to 64 GPUs", _rack_exchange(racks[-1])
    files = [
        max(found, key=lambda file: _order(file.parts[-2]))
        for name in ("wideep_deepep_ll_perf", "wideep_deepep_normal_perf")
        if (found := tables.files("comm", name))
    ]
    if not files:
        return None
    keys = ["hidden_size", "num_topk", "num_experts", "num_token"]
    parts = []
    for file in files:
        seen = pl.read_parquet(file).filter(pl.col("node_num") == 1, pl.col("num_topk") >= 4)
        end = "avg_t_us" if "ll" in file.stem.split("_") else "transmit_us"
        parts += [
            seen.select(*keys, pl.lit(phase).alias("phase"), pl.col(f"{phase}_{end}").cast(pl.Float64).alias("us"))
            for phase in ("dispatch", "combine")
        ]
    seen = pl.concat(parts).group_by([*keys, "phase"]).agg(pl.col("us").min())
    copies = pl.col("num_token") * pl.col("num_topk")
    return f"DeepEP within a node under SGLang {files[0].parts[-2]}", _travelled(seen, copies).sort([*keys, "phase"])


def _rack_exchange(file: Path) -> pl.DataFrame:
    """The two-sided kernels, whose preparation goes before each dispatch."""
    keys = ["hidden_size", "topk", "num_experts", "moe_ep_size", "num_tokens"]
    seen = pl.read_parquet(file).filter(
        pl.col("kernel_source") == "NVLinkTwoSided",
        pl.col("distribution") == "balanced",
        pl.col("moe_dtype") == "fp8",
        pl.col("moe_ep_size") >= 8,
        pl.col("op_name") != "alltoall_combine_low_precision",
    )
    phase = pl.when(pl.col("op_name") == "alltoall_combine").then(pl.lit("combine")).otherwise(pl.lit("dispatch"))
    seen = seen.group_by([*keys, phase.alias("phase")]).agg(us=pl.col("latency").sum() * 1e3)
    return _travelled(seen, pl.col("num_tokens") * pl.col("topk")).sort([*keys, "phase"])


def _travelled(seen: pl.DataFrame, copies: pl.Expr) -> pl.DataFrame:
    """With the MB of copies: fp8 and a scale for each 128 values on the way there, bf16 on the way back."""
    there = pl.col("hidden_size") * (1 + SCALE_BYTES / SCALED_GROUP)
    back = pl.col("hidden_size") * 2.0
    return seen.with_columns(mb=copies * pl.when(pl.col("phase") == "dispatch").then(there).otherwise(back) / 1e6)


def _read(files: Sequence[Path], columns: Sequence[str]) -> pl.DataFrame:
    """Columns of all files; older tables have no windows, and some count in other widths."""
    parts = []
    for file in files:
        names = pl.read_parquet_schema(file)
        part = pl.read_parquet(file, columns=[name for name in columns if name in names])
        if "window_size" in columns and "window_size" not in names:
            part = part.with_columns(window_size=pl.lit(0))
        whole = [name for name in columns if part.schema[name].is_integer()]
        parts.append(
            part.select(columns).with_columns(pl.col(whole).cast(pl.Int64), pl.col("latency").cast(pl.Float64))
        )
    return pl.concat(parts).filter(pl.col("latency") > 0)


def _formats(column: str, names: dict[str, str]) -> pl.Expr:
    """The catalogue's word for a format; null for others."""
    return pl.col(column).replace_strict(names, default=None, return_dtype=pl.String)


def _best(seen: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """The fastest kernel for each call, in microseconds, in a fixed order."""
    return seen.group_by(keys).agg(us=pl.col("latency").min() * 1e3).sort(keys)


def _products(seen: pl.DataFrame, rows: pl.Expr, mb: pl.Expr) -> Products | None:
    if not seen.height:
        return None
    table = seen.select(rows.cast(pl.Float64).alias("rows"), mb.alias("mb"), "us")
    return Products(rows=table["rows"].to_numpy(), mb=table["mb"].to_numpy(), us=table["us"].to_numpy())


def _order(version: str) -> list[int]:
    """Versions in their order: 1.3.0rc20 is after 1.3.0rc10."""
    return [int(number) for number in re.findall(r"\d+", version)]
