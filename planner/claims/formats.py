"""Claims about number formats and kernels: int8, tensor cores, and load tests before quantising."""

from dataclasses import replace

from planner.capacity.engines import model_capacity
from planner.catalogue.read import hardware
from planner.claims.base import ClaimCase, Figure, Finding, decode_engine, judge, prefill_engine
from planner.core.fleet.calibration import LEAST_POINTS
from planner.core.fleet.decode import step_us
from planner.core.fleet.engine import Engine
from planner.core.fleet.prefill import us_per_missed_token
from planner.core.fleet.shapes import WEIGHT_BYTES
from planner.settings.closed import WeightDtype

_LIMITS = {"tpot": "the time per output token", "memory": "the memory", "validity": "the measured range"}


def int8(case: ClaimCase) -> Finding:
    """Size of the weights and time of a decode step in int8 against wider formats."""
    engine, context = decode_engine(case.scenario), case.day.workload.kv_tokens
    full = case.number("fp32_bytes_per_weight")
    batches = {name: case.number(f"{name}_streams_per_gpu") for name in ("few", "some", "many")}
    speed = {
        (node, name): _step(replace(engine, hardware=hardware(node), weights="bf16"), streams, context)
        / _step(replace(engine, hardware=hardware(node)), streams, context)
        for node in ("a100", "h800")
        for name, streams in batches.items()
    }
    few = batches["few"]
    int8_us, bf16_us = (_step(replace(engine, weights=name), few, context) for name in ("int8", "bf16"))
    # where reading weights bounds every product, a step is a straight line in the bytes of a weight
    per_byte = (bf16_us - int8_us) / (WEIGHT_BYTES["bf16"] - WEIGHT_BYTES["int8"])
    from_full = (int8_us + per_byte * (full - WEIGHT_BYTES["int8"])) / int8_us
    least, best, claimed = min(speed.values()), max(speed.values()), case.number("speed_ratio")
    size = {name: bytes_ / WEIGHT_BYTES["int8"] for name, bytes_ in (*WEIGHT_BYTES.items(), ("fp32", full))}
    return Finding(
        judge(
            whole=size["fp8"] >= case.number("size_ratio") and best >= claimed,
            some=size["fp32"] >= case.number("size_ratio"),
        ),
        f"The weights are {size['fp32']:g} times smaller than in fp32, {size['bf16']:g} times than in bf16 and as "
        f"large as in the published fp8; a decode step is {least:.1f} to {best:.1f} times faster than in bf16, and "
        f"{from_full:.1f} times than in fp32 at {few:g} stream per GPU, as reading weights is only part of it.",
        (
            *(Figure(f"size_over_{name}", size[name], "ratio", "bytes over int8") for name in ("fp32", "bf16", "fp8")),
            *(
                Figure(
                    f"{node}_decode_speed_{name}_streams",
                    ratio,
                    "ratio",
                    f"bf16 step over int8 step, streams per GPU: {batches[name]:g}{_in_bf16(node)}",
                )
                for (node, name), ratio in speed.items()
            ),
            Figure(
                "a100_decode_speed_over_fp32", from_full, "ratio", f"fp32 step over int8 step, {few:g} stream per GPU"
            ),
            Figure("claimed_speed", claimed, "ratio", "as claimed"),
        ),
    )


def tensor_cores(case: ClaimCase) -> Finding:
    """What the claimed factor says about the path without tensor cores, and what it does to decode and prefill."""
    engine, prefill = decode_engine(case.scenario), prefill_engine(case.scenario)
    factor, few = case.number("speed_ratio"), case.number("few_streams_per_gpu")
    kernels, peak = engine.hardware.kernels, engine.hardware.dense_tflops["bf16"]
    plain_peak = case.number("fp16_tflops_without_tensor_cores")
    workload = case.day.workload
    point = model_capacity(case.scenario.fleet, case.scenario.slo.tpot_ms, workload).decode
    slow = _slower(engine, factor)
    decode = {
        name: _step(slow, streams, workload.kv_tokens) / _step(engine, streams, workload.kv_tokens)
        for name, streams in (("few", few), ("most", point.streams))
    }
    missed = workload.missed_context_tokens
    read = float(us_per_missed_token(_slower(prefill, factor), missed) / us_per_missed_token(prefill, missed))
    return Finding(
        judge(whole=min(read, *decode.values()) >= factor, some=peak / plain_peak >= factor),
        f"Plausible for compute-bound products, whose peaks differ {peak / plain_peak:g} times; prefill as a "
        f"whole then gets {read:.1f} times faster and a decode step {decode['few']:.1f} to {decode['most']:.1f} times, "
        "as it reads memory for much of its time.",
        (
            Figure("peak_ratio", peak / plain_peak, "ratio", "dense FP16 peak with over without tensor cores"),
            Figure(
                "kernel_over_plain_peak",
                kernels.gemm_tflops / plain_peak,
                "ratio",
                "catalogue's kernels over that peak",
            ),
            Figure(
                "tflops_before", peak / factor, "TFLOP/s", "what was reached before, if the tensor peak is reached now"
            ),
            Figure("kernel_efficiency", 1 / factor, "ratio", "that over the dense tensor peak: the factor to apply"),
            Figure("decode_speed_few_streams", decode["few"], "ratio", f"{few:g} stream per GPU"),
            Figure(
                "decode_speed_most_streams",
                decode["most"],
                "ratio",
                f"{point.streams:g} streams per GPU, the most that meet the latency target",
            ),
            Figure("prefill_speed", read, "ratio", "time of a missed token before over after"),
        ),
    )


def load_test(case: ClaimCase) -> Finding:
    """What a load test has to find before quantising: which limit binds; and what formats would free."""
    fleet = case.scenario.fleet
    kv_tokens = case.day.workload.kv_tokens
    point = model_capacity(fleet, case.scenario.slo.tpot_ms, case.day.workload).decode
    engines = {name: replace(decode_engine(case.scenario), weights=name) for name in _formats("bf16", "fp8", "int4")}
    cap = {name: float(engine.batch_cap(kv_tokens)) for name, engine in engines.items()}
    return Finding(
        "holds",
        f"Sound practice: a test shows which limit binds, here {_LIMITS[point.limit]} at {point.streams:g} of the "
        f"{cap[fleet.engine.weights]:g} streams per GPU that fit; planner capacity fit takes the measurements, and "
        "fleet.engine.weights and fleet.engine.kv the formats to compare.",
        (
            Figure("least_points", float(LEAST_POINTS), "points", "measured steps that planner capacity fit needs"),
            Figure("modelled_streams_per_gpu", point.streams, "streams", f"largest batch, limited by {point.limit}"),
            *(
                Figure(f"{name}_weights_gb_per_gpu", engine.weights_gb, "GB", "decode weights")
                for name, engine in engines.items()
            ),
            *(Figure(f"{name}_streams_that_fit", held, "streams", "per GPU") for name, held in cap.items()),
        ),
    )


def _formats(*names: WeightDtype) -> tuple[WeightDtype, ...]:
    return names


def _step(engine: Engine, streams: float, kv_tokens: float) -> float:
    """A balanced decode step, microseconds."""
    return float(step_us(engine, streams, kv_tokens))


def _slower(engine: Engine, factor: float) -> Engine:
    """The engine with all arithmetic slower by a factor, and memory and links as they are."""
    kernels = engine.hardware.kernels
    bound = ("gemm_tflops", "grouped_gemm_tflops", "attention_tflops", "prefill_attention_tflops")
    slow = kernels.model_copy(update={name: getattr(kernels, name) / factor for name in bound})
    return replace(engine, hardware=engine.hardware.model_copy(update={"kernels": slow}))


def _in_bf16(node: str) -> str:
    """A remark for nodes without an int8 peak."""
    return "" if "int8" in hardware(node).dense_tflops else "; computed in bf16, as the catalogue has no int8 peak"
