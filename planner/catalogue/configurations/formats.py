"""Number formats of a configuration: of its weights, and of what a quantised one leaves as it was.

The block quantization_config is that of transformers; hf_quant_config.json, beside it, that of NVIDIA's ModelOpt.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from planner.catalogue.configurations.families import Blocks
from planner.catalogue.configurations.tree import Configuration
from planner.settings.closed import WeightDtype
from planner.settings.plain import shown

_METHODS: dict[str, WeightDtype] = {"fp8": "fp8", "fbgemm_fp8": "fp8", "mxfp4": "fp4", "mxfp8": "fp8"}
_ALGORITHMS: tuple[tuple[str, WeightDtype], ...] = (
    ("FP4", "fp4"),
    ("W4A8", "int4"),
    ("W4A16", "int4"),
    ("INT4", "int4"),
    ("FP8", "fp8"),
    ("INT8", "int8"),
    ("W8A8", "int8"),
)
"""What names of ModelOpt's algorithms hold, the first that is found."""
_BITS: dict[tuple[str, int], WeightDtype] = {
    ("float", 4): "fp4",
    ("float", 8): "fp8",
    ("int", 4): "int4",
    ("int", 8): "int8",
}
_PLAIN = {"bfloat16", "float16", "half", "bf16"}
_ATTENTION = re.compile(
    r"(?:self_attn|linear_attn|attention|\battn|mixer)(?:\\?\.?\*|$|\\?\.(?:[qkvo]|qkv|[qkv]_[ab]|in|out)_?proj\w*)"
)
_SHARED = re.compile(
    r"shared_experts?(?:\\?\.?\*|\.|$)|mlp(?:\\?\.?\*|$|\\?\.\(?(?:gate_up|gate\||up|down)[\w|]*\)?_proj)"
)
_LAYER = re.compile(r"layers\.(\d+)")
_WHOLE_LAYER = re.compile(r"layers\.\d+\.?\*")


@dataclass(frozen=True)
class Formats:
    """Number formats: of weights, and of attention and of dense feed-forwards where these keep another one."""

    weights: WeightDtype
    attention: WeightDtype | None = None
    dense: WeightDtype | None = None


def read_formats(c: Configuration, beside: Mapping[str, object] | None, blocks: Blocks) -> Formats:
    """The formats of a configuration. beside: the content of hf_quant_config.json, if there is one."""
    block = next((found for found in _blocks(c, beside) if found), None)
    if block is None:
        return Formats(_plain(c))
    if isinstance(block.get("quantized_layers"), dict):
        return _mixed(c, block["quantized_layers"])
    weights = _format_of(block)
    if weights is None:
        c.problems.append(
            f"the number format of quantization_config is not known ({_summary(block)}); "
            "without that block the model is read as it was before"
        )
        return Formats("bf16")
    kept = [
        each for name in ("ignore", "modules_to_not_convert", "exclude_modules") for each in _texts(block.get(name))
    ]
    attention = _mostly(c, "attention", kept, _ATTENTION, blocks.mixing)
    dense = _mostly(c, "feed-forwards that every token passes", kept, _SHARED, blocks.feeding)
    if weights not in ("fp4", "int4"):
        if attention:
            c.notes.append(f"attention is published in bf16 beside {weights}, and taken as {weights} here")
        return Formats(weights)
    return Formats(weights, "bf16" if attention else None, "bf16" if dense else None)


def _blocks(c: Configuration, beside: Mapping[str, object] | None) -> Iterator[Mapping[str, object]]:
    for found in (c.outer.get("quantization_config"), c.keys.get("quantization_config"), beside):
        if isinstance(found, dict):
            inner = found.get("quantization")
            yield inner if isinstance(inner, dict) else found
    c.asked.add("quantization_config")


def _plain(c: Configuration) -> WeightDtype:
    """The format of a model that is not quantised; engines run float32 in bf16."""
    told = c.text("torch_dtype", "dtype") or str(c.outer.get("torch_dtype") or c.outer.get("dtype") or "")
    if not told:
        c.notes.append("its number format is not told: bf16 is assumed")
    elif told == "float32":
        c.notes.append("it is published in float32, and taken as bf16, in which engines serve it")
    elif told not in _PLAIN:
        c.problems.append(f"the number format {shown(told)} is not known")
    return "bf16"


def _format_of(block: Mapping[str, object]) -> WeightDtype | None:
    algorithm = str(block.get("quant_algo") or block.get("moe_quant_algo") or "").upper()
    for part, dtype in _ALGORITHMS:
        if part in algorithm:
            return dtype
    method = str(block.get("quant_method") or "").lower()
    if method in _METHODS:
        return _METHODS[method]
    if block.get("load_in_8bit") is True:
        return "int8"
    if method in ("awq", "gptq", "auto-round", "bitsandbytes"):
        bits = 4 if block.get("load_in_4bit") is True else block.get("bits") or block.get("w_bit")
        return _BITS.get(("int", bits)) if isinstance(bits, int) else None
    return _format_of_groups(block.get("config_groups"))


def _format_of_groups(groups: object) -> WeightDtype | None:
    """The format of compressed tensors: the narrowest of its groups, which is that of most weights."""
    found = []
    for group in groups.values() if isinstance(groups, dict) else []:
        weights = group.get("weights") if isinstance(group, dict) else None
        if isinstance(weights, dict) and isinstance(weights.get("num_bits"), int):
            dtype = _BITS.get((str(weights.get("type")), weights["num_bits"]))
            if dtype is None:
                return None
            found.append((weights["num_bits"], dtype))
    return min(found)[1] if found else None


def _mixed(c: Configuration, layers_told: object) -> Formats:
    """Formats told module by module: the weights' is that of most modules."""
    by_part: dict[str, Counter[WeightDtype]] = {"attention": Counter(), "dense": Counter(), "all": Counter()}
    for name, told in layers_told.items() if isinstance(layers_told, dict) else []:
        dtype = _format_of(told) if isinstance(told, dict) else None
        if dtype is None:
            c.problems.append(f"the number format of {shown(name)} is not known")
            return Formats("bf16")
        part = "attention" if _ATTENTION.search(name) else "dense" if _SHARED.search(name) else "all"
        # experts may be told one by one or all at once, and are most of the weights either way
        by_part[part][dtype] += 1
    most = by_part["all"] or by_part["dense"] or by_part["attention"]
    if not most:
        c.problems.append("quantized_layers is empty")
        return Formats("bf16")
    weights = most.most_common(1)[0][0]
    if weights not in ("fp4", "int4"):
        return Formats(weights)
    told = {name: counts.most_common(1)[0][0] if counts else "bf16" for name, counts in by_part.items()}
    dense = told["dense"] if by_part["all"] else weights
    return Formats(
        weights,
        told["attention"] if told["attention"] != weights else None,
        dense if dense != weights else None,
    )


def _mostly(c: Configuration, part: str, kept: Iterable[str], pattern: re.Pattern[str], layers: int) -> bool:
    """Whether a part keeps its format in at least half of the layers that have it."""
    told: set[str] = set()
    for name in kept:
        if name.endswith("proj.bias") or not (pattern.search(name) or _WHOLE_LAYER.search(name)):
            continue
        layer = _LAYER.search(name)
        if layer is None:
            return True
        told.add(layer[1])
    if told and 2 * len(told) < layers:
        c.notes.append(f"{part} of {len(told)} of {layers} layers keep their number format, which is not modelled")
    return 2 * len(told) >= layers > 0


def _texts(value: object) -> list[str]:
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _summary(block: Mapping[str, object]) -> str:
    told = [
        f"{name} {shown(block[name], 40)}" for name in ("quant_method", "quant_algo", "bits", "format") if name in block
    ]
    return ", ".join(told) or "no quant_method"
