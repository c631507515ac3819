"""Servings under load, as the tools that measure them write it: every figure in its unit, or a refusal in one line.

The figures are made up; the keys are those that each tool publishes.
"""

import copy
import json
import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from planner.documents import to_json
from planner.errors import PlannerError, UsageError
from planner.studies.capacity.measured.read import read_measured, read_points
from planner.studies.capacity.measured.serving import MeasuredPoint, MeasuredServing

BENCHMARKS = Path(__file__).parents[1] / "data" / "benchmarks"

# 80 requests of 1,000 tokens in and 101 out in 40 s: 2 requests/s and 202 tokens/s
SGLANG = {
    "backend": "sglang",
    "dataset_name": "random",
    "request_rate": math.inf,
    "max_concurrency": 8,
    "server_info": {
        "model_path": "example/model",
        "version": "0.5.0",
        "tp_size": 8,
        "dp_size": 4,
        "pp_size": 1,
        "ep_size": 8,
        "enable_dp_attention": True,
        "quantization": "fp8",
        "kv_cache_dtype": "auto",
    },
    "duration": 40.0,
    "completed": 80,
    "total_input_tokens": 80_000,
    "total_output_tokens": 8_080,
    "request_throughput": 2.0,
    "input_throughput": 2000.0,
    "output_throughput": 202.0,
    "mean_e2e_latency_ms": 3700.0,
    "median_e2e_latency_ms": 3600.0,
    "mean_ttft_ms": 200.0,
    "median_ttft_ms": 190.0,
    "mean_tpot_ms": 35.0,
    "median_tpot_ms": 34.0,
    "mean_itl_ms": 35.5,
    "concurrency": 7.4,
    "accept_length": None,
    "cache_report": {"total_prompt_tokens": 80_000, "total_cached_tokens": 20_000},
}
# 1,638.4 tokens/s on each of 8 GPUs, in seconds
INFERENCEX = {
    "hw": "h200",
    "conc": 64,
    "image": "example/engine:v1.2.3",
    "model": "example/model",
    "infmax_model_prefix": "ex",
    "framework": "sglang",
    "precision": "fp8",
    "spec_decoding": "none",
    "disagg": False,
    "isl": 1024,
    "osl": 1024,
    "is_multinode": False,
    "tp": 8,
    "ep": 8,
    "dp_attention": "false",
    "tput_per_gpu": 3276.8,
    "output_tput_per_gpu": 1638.4,
    "input_tput_per_gpu": 1638.4,
    "mean_ttft": 0.25,
    "median_ttft": 0.2,
    "mean_tpot": 0.02,
    "mean_intvty": 50.0,
    "median_tpot": 0.019,
    "mean_e2el": 20.5,
}
TWO_ROLES = {
    key: value for key, value in INFERENCEX.items() if key not in ("tp", "ep", "dp_attention", "is_multinode")
} | {
    "disagg": True,
    "is_multinode": True,
    "prefill_tp": 4,
    "prefill_ep": 4,
    "prefill_dp_attention": "false",
    "decode_tp": 16,
    "decode_ep": 16,
    "decode_dp_attention": "true",
    "num_prefill_gpu": 8,
    "num_decode_gpu": 16,
}
TRTLLM = {
    "engine": {
        "model": "example/model",
        "version": "1.0.0",
        "backend": "Pytorch",
        "dtype": "bfloat16",
        "kv_cache_dtype": "FP8",
        "quantization": "NVFP4",
    },
    "machine": {"name": "NVIDIA B200"},
    "world_info": {"tp_size": 4, "pp_size": 1, "ep_size": 4, "world_size": 4, "max_batch_size": 512},
    "request_info": {
        "num_requests": 100,
        "avg_num_concurrent_requests": 31.5,
        "avg_input_length": 2048.0,
        "avg_output_length": 128.0,
    },
    "performance": {
        "total_latency_ms": 10_000.0,
        "avg_request_latency_ms": 3150.0,
        "request_throughput_req_s": 10.0,
        "system_output_throughput_tok_s": 1280.0,
    },
    "streaming_metrics": {
        "avg_ttft_ms": 610.0,
        "avg_tpot_ms": 20.0,
        "tpot_percentiles": {"average": 20.0, "p50": 19.0},
        "ttft_percentiles": {"average": 610.0, "p50": 500.0},
    },
}
ONE_BATCH = {
    "run_name": "default",
    "batch_size": 16,
    "input_len": 1024,
    "output_len": 101,
    "latency": 3.5,
    "input_throughput": 32768.0,
    "output_throughput": 538.7,
    "overall_throughput": 5000.0,
    "last_ttft": 0.5,
    "last_gen_throughput": 540.0,
    "acc_length": -1.0,
    "cache_hit_rate": None,
}


def written(document: Any, name: str = "measured.json") -> Path:
    path = Path(name)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def serving(document: Any, name: str = "measured.json") -> MeasuredServing:
    (found,) = read_measured(written(document, name))
    assert isinstance(found, MeasuredServing)
    return found


def refusal(document: Any, name: str = "measured.json") -> str:
    with pytest.raises(PlannerError) as caught:
        read_measured(written(document, name))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(name)
    return message


def changed(document: dict[str, Any], **values: Any) -> dict[str, Any]:
    """A copy with other values at its keys; "a__b" is b of a."""
    made = copy.deepcopy(document)
    for name, value in values.items():
        holder, *way = made, *name.split("__")
        for part in way[:-1]:
            holder = holder[part]
        holder[way[-1]] = value
    return made


def vllm() -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((BENCHMARKS / "vllm.json").read_text(encoding="utf-8"))
    return loaded


def told(found: MeasuredServing) -> dict[str, Any]:
    """What a record says, without what it does not."""
    return {key: value for key, value in to_json(found).items() if value not in (None, [], False) and key != "source"}


def test_vllm_in_a_closed_loop() -> None:
    # 200 requests of 1,000 in and 256 out, at most 64 in flight
    assert told(serving(vllm())) == {
        "input_tokens": 1000.0,
        "output_tokens": 256.0,
        "concurrency": 64.0,
        "request_rate": 12.5,
        "ttft_ms": 250.0,
        "tpot_ms": 20.0,
        "output_tokens_per_s": 3200.0,
        "model": "example/model",
    }


def test_by_a_request_rate_the_requests_in_flight_come_by_littles_law() -> None:
    # 12.5 requests/s of 250 + 255 x 20 = 5,350 ms, whatever the limit
    assert serving(vllm() | {"request_rate": 12.5}).concurrency == pytest.approx(66.875)
    assert serving(vllm() | {"request_rate": 12.5, "max_concurrency": None}).concurrency == pytest.approx(66.875)
    told_e2e = vllm() | {"request_rate": 12.5, "mean_e2el_ms": 6000.0}
    assert serving(told_e2e).concurrency == pytest.approx(75.0)


def test_a_limit_above_the_number_of_requests_is_never_reached() -> None:
    assert serving(vllm() | {"max_concurrency": 4096}).concurrency == 200


def test_requests_sent_at_once_have_no_steady_number_in_flight() -> None:
    found = serving(vllm() | {"max_concurrency": None})
    assert found.concurrency is None
    assert "sent at once" in " ".join(found.notes)


def test_sglang_with_its_server_and_attention_in_data_parallel() -> None:
    assert told(serving(SGLANG)) == {
        "input_tokens": 1000.0,
        "output_tokens": 101.0,
        "concurrency": 7.4,
        "request_rate": 2.0,
        "ttft_ms": 200.0,
        "tpot_ms": 35.0,
        "e2e_ms": 3700.0,
        "output_tokens_per_s": 202.0,
        "cached_input_tokens": 250.0,
        "model": "example/model",
        "gpus": 8,
        "tensor_parallel": 2,
        "data_parallel": 4,
        "expert_parallel": 8,
        "weights": "fp8",
        "engine": "sglang",
        "engine_version": "0.5.0",
    }
    replicas = serving(changed(SGLANG, server_info__enable_dp_attention=False))
    assert (replicas.gpus, replicas.tensor_parallel, replicas.data_parallel) == (32, 8, 4)
    assert "tp_size 8 and dp_size 3" in refusal(changed(SGLANG, server_info__dp_size=3))


def test_jsonl_holds_one_run_a_line() -> None:
    lines = "".join(json.dumps(SGLANG | {"concurrency": number}) + "\n" for number in (2, 4, 8))
    found = read_measured(written(lines, "runs.jsonl"))
    assert [one.concurrency for one in found if isinstance(one, MeasuredServing)] == [2, 4, 8]
    assert [one.source for one in found] == [f"runs.jsonl, entry {number}" for number in (1, 2, 3)]


@pytest.mark.parametrize(
    ("key", "value"),
    [("accept_length", 2.5), ("spec_decode_acceptance_length", 2.5), ("avg_decoded_tokens_per_iter", {"mean": 2.5})],
)
def test_speculative_decoding_is_read_as_tokens_per_step(key: str, value: object) -> None:
    found = serving(SGLANG | {key: value})
    assert (found.speculates, found.accepted, found.tpot_ms, found.step_ms) == (True, 2.5, 35.0, 87.5)
    # the streams in decode do not depend on it: 202 tokens/s, less the first of 101, of 35 ms each
    assert found.decode_streams == pytest.approx(7.0)
    with pytest.raises(PlannerError, match="speculative decoding"):
        read_points(written(SGLANG | {key: value}))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("accept_length", None),
        ("accept_length", 0),
        ("accept_length", -1.0),
        ("avg_decoded_tokens_per_iter", {"mean": 0.0}),
        ("avg_decoded_tokens_per_iter", {"mean": 1.0}),
    ],
)
def test_what_stands_for_no_speculation_is_none(key: str, value: object) -> None:
    found = serving(SGLANG | {key: value})
    assert (found.speculates, found.accepted, found.step_ms) == (False, None, 35.0)


def test_a_step_cannot_yield_less_than_a_token() -> None:
    assert "at least 1" in refusal(SGLANG | {"accept_length": 0.5})


def test_the_time_between_chunks_is_no_time_per_token_where_a_step_yields_several() -> None:
    document = SGLANG | {"accept_length": 2.5, "mean_tpot_ms": None, "median_tpot_ms": None}
    assert serving(document).tpot_ms is None
    assert serving(document | {"accept_length": None}).tpot_ms == 35.5


def test_inferencex_is_in_seconds() -> None:
    found = serving(INFERENCEX)
    assert told(found) | {"notes": []} == {
        "input_tokens": 1024.0,
        "output_tokens": 1024.0,
        "concurrency": 64.0,
        "ttft_ms": 250.0,
        "tpot_ms": 20.0,
        "e2e_ms": 20_500.0,
        "output_tokens_per_s": pytest.approx(13_107.2),
        "model": "example/model",
        "gpu": "h200",
        "gpus": 8,
        "tensor_parallel": 8,
        "data_parallel": 1,
        "expert_parallel": 8,
        "weights": "fp8",
        "engine": "sglang",
        "engine_version": "v1.2.3",
        "serving": "aggregated",
        "notes": [],
    }
    assert "configured" in " ".join(found.notes)


def test_inferencex_with_attention_in_data_parallel_and_over_pipelines() -> None:
    found = serving(INFERENCEX | {"dp_attention": "true", "pp": 2})
    assert (found.gpus, found.tensor_parallel, found.data_parallel) == (16, 1, 8)


def test_inferencex_with_prefill_and_decode_apart() -> None:
    found = serving(TWO_ROLES)
    assert (found.serving, found.gpus, found.output_tokens_per_s) == ("disaggregated", 24, pytest.approx(26_214.4))
    assert (found.tensor_parallel, found.data_parallel, found.expert_parallel) == (1, 16, 16)
    assert "8 GPUs prefill and 16 decode" in " ".join(found.notes)
    # over several nodes without roles: all is said of prefill
    one = serving(TWO_ROLES | {"disagg": True, "num_decode_gpu": 0, "decode_tp": 0, "decode_ep": 0})
    assert (one.serving, one.gpus, one.tensor_parallel, one.expert_parallel) == ("aggregated", 8, 4, 4)


def test_a_run_of_inferencex_without_configured_lengths_is_refused() -> None:
    assert '"osl" is missing; remove the entry' in refusal(INFERENCEX | {"isl": None, "osl": None})


def test_the_gpus_that_a_file_tells_are_taken_and_no_others() -> None:
    # 202 tokens/s, less the first of 101, of 35 ms each: 7 streams on 8 GPUs
    (point,) = read_points(written(SGLANG))
    assert point.streams == pytest.approx(7 / 8)
    assert read_points(written(SGLANG), gpus=8) == (point,)
    with pytest.raises(UsageError, match=r"decodes on 8 GPUs, .*--server-gpus is 4"):
        read_points(written(SGLANG), gpus=4)
    # 26,214.4 tokens/s, less the first of 1,024, of 20 ms each, on the 16 GPUs that decode
    (apart,) = read_points(written(TWO_ROLES))
    assert apart.streams == pytest.approx(26_214.4 * 1023 / 1024 * 0.02 / 16)


def test_a_row_of_the_data_page_of_inferencex() -> None:
    figures = {key: INFERENCEX[key] for key in INFERENCEX if key.startswith(("mean_", "median_")) or "tput" in key}
    row = {
        "hardware": "h200",
        "framework": "sglang",
        "model": "ex",
        "precision": "fp8",
        "spec_method": "mtp",
        "disagg": False,
        "decode_tp": 8,
        "decode_ep": 1,
        "num_prefill_gpu": 8,
        "num_decode_gpu": 8,
        "isl": 1024,
        "osl": 1024,
        "conc": 64,
        "metrics": figures,
    }
    found = serving(row)
    assert (found.gpu, found.gpus, found.tensor_parallel, found.serving) == ("h200", 8, 8, "aggregated")
    assert (found.tpot_ms, found.output_tokens_per_s) == (20.0, pytest.approx(13_107.2))
    assert (found.speculates, found.accepted, found.step_ms) == (True, None, None)


def test_trtllm_bench() -> None:
    assert told(serving(TRTLLM)) == {
        "input_tokens": 2048.0,
        "output_tokens": 128.0,
        "concurrency": 31.5,
        "request_rate": 10.0,
        "ttft_ms": 610.0,
        "tpot_ms": 20.0,
        "e2e_ms": 3150.0,
        "output_tokens_per_s": 1280.0,
        "model": "example/model",
        "gpu": "NVIDIA B200",
        "gpus": 4,
        "tensor_parallel": 4,
        "expert_parallel": 4,
        "weights": "NVFP4",
        "kv": "FP8",
        "engine": "trtllm",
        "engine_version": "1.0.0",
    }
    drafted = serving(TRTLLM | {"decoding_stats": {"mode": "x", "acceptance_length_percentiles": {"average": 2.0}}})
    assert drafted.step_ms == 40.0


def test_trtllm_bench_without_streaming_has_a_throughput_alone() -> None:
    document = {key: value for key, value in TRTLLM.items() if key != "streaming_metrics"}
    found = serving(document)
    assert (found.tpot_ms, found.ttft_ms, found.output_tokens_per_s) == (None, None, 1280.0)
    with pytest.raises(PlannerError, match=r"avg_tpot_ms.* is missing; .*--streaming"):
        read_points(written(document))


def test_a_static_batch_holds_no_prefill_in_its_steps() -> None:
    found = serving(ONE_BATCH)
    # (3.5 - 0.5) s over 100 steps; 16 x 101 tokens in 3.5 s; the first token of one request in 16 is not its own
    assert told(found) | {"notes": []} == {
        "input_tokens": 1024.0,
        "output_tokens": 101.0,
        "concurrency": 16.0,
        "tpot_ms": pytest.approx(30.0),
        "e2e_ms": 3500.0,
        "output_tokens_per_s": pytest.approx(16 * 101 / 3.5),
        "static_batch": True,
        "engine": "sglang",
        "notes": [],
    }
    assert serving(ONE_BATCH | {"batch_size": 1}).ttft_ms == 500.0
    assert serving(ONE_BATCH | {"cache_hit_rate": 0.5}).cached_input_tokens == 512
    # the streams of the batch, 16, for all of its decode time
    assert found.decode_streams == pytest.approx(16 * 3.0 / 3.5)


def test_sglang_one_batch_without_a_server_and_offline() -> None:
    keys = ("run_name", "batch_size", "input_len", "output_len")
    apart = {key: ONE_BATCH[key] for key in keys} | {
        "prefill_latency": 0.4,
        "median_decode_latency": 0.025,
        "total_latency": 2.9,
    }
    found = serving(apart)
    assert (found.tpot_ms, found.static_batch) == (25.0, True)
    assert "tpot_ms is a median: the file has no mean" in found.notes
    offline = {
        "backend": "engine",
        "successful_requests": 100,
        "total_latency": 20.0,
        "total_input_tokens": 50_000,
        "total_output_tokens": 20_000,
        "last_gen_throughput": 1100.0,
        "output_throughput": 1000.0,
    }
    run = serving(offline)
    assert (run.input_tokens, run.output_tokens, run.output_tokens_per_s) == (500, 200, 1000)
    assert (run.tpot_ms, run.concurrency) == (None, None)


def test_guidellm_and_aiperf_tell_whole_requests_too() -> None:
    first = read_measured(BENCHMARKS / "guidellm_version_2.json")[0]
    assert isinstance(first, MeasuredServing)
    assert (first.input_tokens, first.output_tokens, first.tpot_ms) == (512, 128, 10.0)
    assert first.concurrency == 16
    perf = read_measured(BENCHMARKS / "aiperf_1_5.json")[0]
    assert isinstance(perf, MeasuredServing)
    assert (perf.ttft_ms, perf.tpot_ms, perf.e2e_ms, perf.concurrency) == (200.0, 16.0, 4184.0, 48)
    assert (perf.request_rate, perf.model) == (10.0, "example/model")


def test_a_guidellm_report_that_was_cut_down_to_percentiles_and_answered_requests() -> None:
    document = json.loads((BENCHMARKS / "guidellm_version_2.json").read_text(encoding="utf-8"))
    metrics = document["benchmarks"][0]["metrics"]
    metrics["inter_token_latency_ms"] = {"successful": {"percentiles": {"p50": 11.0}}}
    metrics["output_tokens_per_second"] = {"successful": {"mean": 1200.0}}
    found = read_measured(written(document))[0]
    assert isinstance(found, MeasuredServing)
    assert (found.tpot_ms, found.output_tokens_per_s) == (11.0, 1200.0)
    assert set(found.notes) >= {
        "tpot_ms is a median: the file has no mean",
        "output_tokens_per_s is of the requests that were answered alone",
    }


def test_aiperf_by_a_rate_with_its_own_mean_in_flight_and_its_cache() -> None:
    document = json.loads((BENCHMARKS / "genai_perf_flat.json").read_text(encoding="utf-8"))
    document["input_config"]["request_rate"] = 10.0
    # 10 requests/s of 4,184 ms
    assert serving(document).concurrency == pytest.approx(41.84)
    document["effective_concurrency"] = {"unit": "requests", "avg": 40.5}
    document["usage_prompt_cache_read_tokens"] = {"unit": "tokens", "avg": 400.0, "sum": 10_000.0}
    document["request_count"] = {"unit": "requests", "avg": 100.0}
    found = serving(document)
    assert (found.concurrency, found.cached_input_tokens) == (40.5, 100.0)


def test_guidellm_in_yaml_is_the_same_as_in_json_and_its_csv_is_refused() -> None:
    document = json.loads((BENCHMARKS / "guidellm_version_2.json").read_text(encoding="utf-8"))
    found = read_measured(written(yaml.safe_dump(document), "benchmarks.yaml"))
    expected = read_measured(BENCHMARKS / "guidellm_version_2.json")
    assert [told(one) for one in found if isinstance(one, MeasuredServing)] == [
        told(one) for one in expected if isinstance(one, MeasuredServing)
    ]
    assert "JSON or YAML" in refusal("Run Info,Run Info,Benchmark\nRun ID,Profile,Type\n,,\na,b,c\n", "benchmarks.csv")
    assert "not valid YAML" in refusal("benchmarks: [\n", "benchmarks.yaml")


PLAIN = "isl,osl,concurrency,ttft_ms,tpot_ms\n1000,100,8,120,20\n1000,100,16,,25\n"


def test_a_plain_table_of_servings_leaves_empty_what_is_unknown() -> None:
    first, second = read_measured(written(PLAIN, "table.csv"))
    assert isinstance(first, MeasuredServing)
    assert isinstance(second, MeasuredServing)
    assert (first.input_tokens, first.output_tokens, first.concurrency) == (1000, 100, 8)
    assert (first.ttft_ms, first.tpot_ms, second.ttft_ms, second.tpot_ms) == (120, 20, None, 25)
    assert (first.kv_tokens, first.decode_streams) == (1050, None)
    wide = "isl,osl,conc,mean_tpot_ms,output_throughput,gpu,n_gpus,tp,weights,backend,serving,my own\n"
    named = serving(wide + "1000,100,8,20,380,H100,4,4,fp8,vllm,aggregated,x\n", "wide.csv")
    assert (named.gpu, named.gpus, named.tensor_parallel, named.engine) == ("H100", 4, 4, "vllm")
    assert (named.weights, named.serving) == ("fp8", "aggregated")
    # 380 tokens/s, less the first of 100, of 20 ms each
    assert named.decode_streams == pytest.approx(7.524)


def test_a_plain_table_of_steps_stays_what_it_is() -> None:
    found = read_measured(BENCHMARKS / "plain.csv")
    assert all(isinstance(one, MeasuredPoint) for one in found)
    assert found == read_points(BENCHMARKS / "plain.csv", gpus=8)


@pytest.mark.parametrize(
    ("document", "key"),
    [
        (vllm() | {"mean_tpot_ms": 0.02}, "mean_tpot_ms"),
        (vllm() | {"mean_tpot_ms": 61_000.0}, "mean_tpot_ms"),
        (vllm() | {"mean_ttft_ms": 0.25}, "mean_ttft_ms"),
        (vllm() | {"mean_ttft_ms": 3_600_001.0, "mean_e2el_ms": 4e6}, "mean_ttft_ms"),
        (INFERENCEX | {"mean_tpot": 20.0 * 1000}, "mean_tpot"),
        (INFERENCEX | {"mean_ttft": 250.0 * 1000, "mean_e2el": None}, "mean_ttft"),
        (changed(TRTLLM, streaming_metrics__avg_tpot_ms=0.02), "streaming_metrics.avg_tpot_ms"),
    ],
)
def test_a_time_in_another_unit_is_refused_with_its_key(document: Any, key: str) -> None:
    message = refusal(document)
    assert "looks like the wrong unit" in message
    assert f'"{key}"' in message


def test_a_whole_request_is_not_shorter_than_its_first_token() -> None:
    assert "check their units" in refusal(vllm() | {"mean_e2el_ms": 5.35})


def test_a_first_token_and_the_others_are_in_one_unit() -> None:
    assert "check their units" in refusal("isl,osl,ttft_ms,tpot_ms\n1000,100,1.2,20\n", "table.csv")
    assert "check their units" in refusal("isl,osl,ttft_ms,tpot_ms\n1000,100,120,20000\n", "table.csv")


def test_a_plain_time_in_seconds_or_an_unknown_serving_is_refused() -> None:
    assert "0.02 ms, which looks like" in refusal(PLAIN.replace("120,20", "120,0.02"), "table.csv")
    assert '"ttft_s" is not read' in refusal(PLAIN.replace("ttft_ms", "ttft_s"), "table.csv")
    assert "give aggregated or disaggregated" in refusal("isl,osl,tpot_ms,serving\n1,2,3,both\n", "table.csv")
    assert "two columns" in refusal("isl,osl,tpot_ms,tpot_ms\n1,2,3,4\n", "table.csv")
    assert "not a whole number" in refusal("isl,osl,tpot_ms,gpus\n1,2,3,1.5\n", "table.csv")


def test_more_cached_than_there_is_input_is_refused() -> None:
    assert "cached of" in refusal("isl,osl,tpot_ms,cached_input_tokens\n100,20,3,200\n", "table.csv")


def test_a_run_of_one_token_is_a_measured_prefill() -> None:
    found = serving(vllm() | {"total_output_tokens": 200, "mean_tpot_ms": 0.0, "mean_itl_ms": 0.0})
    assert (found.output_tokens, found.tpot_ms, found.ttft_ms) == (1, None, 250.0)


def test_a_run_that_measured_nothing_is_refused() -> None:
    document = {key: value for key, value in vllm().items() if not key.endswith("_ms") and "throughput" not in key}
    message = refusal(document)
    assert all(f'"{key}"' in message for key in ("mean_tpot_ms", "mean_ttft_ms", "output_throughput"))


def test_failed_requests_are_said() -> None:
    assert "3 requests failed" in " ".join(serving(vllm() | {"failed": 3}).notes)


def test_names_from_a_file_do_nothing_to_a_terminal() -> None:
    assert serving(vllm() | {"model_id": "a\x1b[2Jb"}).model == "a\\x1b[2Jb"
    assert serving(vllm() | {"model_id": 7}).model is None


WHOLE = [SGLANG, INFERENCEX, TWO_ROLES, TRTLLM, ONE_BATCH]
VALUES = st.sampled_from([None, math.nan, -1.0, 0, 0.5, 1e300, "text", "", True, [], {}])


@given(data=st.data(), document=st.sampled_from(WHOLE), value=VALUES)
def test_no_change_to_a_file_ends_in_a_traceback(data: st.DataObject, document: dict[str, Any], value: object) -> None:
    made = copy.deepcopy(document)
    holder, key = made, data.draw(st.sampled_from(sorted(made)))
    while isinstance(holder[key], dict) and data.draw(st.booleans()):
        holder = holder[key]
        key = data.draw(st.sampled_from(sorted(holder)))
    holder[key] = value
    try:
        found, message = read_measured(written(made)), ""
    except PlannerError as error:
        found, message = (), str(error)
    assert bool(found) != bool(message)
    assert "\n" not in message
    for one in found:
        figures = [figure for figure in to_json(one).values() if isinstance(figure, float)]
        assert all(math.isfinite(figure) and figure >= 0 for figure in figures)
