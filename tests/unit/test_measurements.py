"""Decode points from files of benchmark tools. The files in data/benchmarks are made up, in the tools' shape."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.errors import PlannerError, UsageError
from planner.studies.capacity.measured.read import read_points
from planner.studies.capacity.measured.serving import MeasuredPoint

BENCHMARKS = Path(__file__).parents[1] / "data" / "benchmarks"
FILES = sorted(path.name for path in BENCHMARKS.iterdir())
JSON_FILES = [name for name in FILES if name.endswith(".json") and name != "vllm_appended.json"]

PLAIN = [(16.0, 4096.0, 12.5), (64.0, 4096.0, 20.0)]
# 3,200 tokens/s in answers of 256: 3,187.5 steps/s of 20 ms are 63.75 streams; context 1,000 + 256 / 2
VLLM = (63.75, 1128.0, 20.0)
# 1,600 tokens/s: 1,593.75 steps/s of 16 ms
VLLM_OPEN_LOOP = (25.5, 1128.0, 16.0)
# 1,280 tokens/s of all requests in answers of 128: 1,270 steps/s of 10 ms; 2,560: 2,540 of 12.5 ms; context 512 + 64
GUIDELLM, GUIDELLM_POISSON = (12.7, 576.0, 10.0), (31.75, 576.0, 12.5)
# 2,500 tokens/s in answers of 250: 2,490 steps/s of 16 ms; context 550 + 125
AIPERF = (39.84, 675.0, 16.0)

EXPECTED = {
    "aiperf.csv": [AIPERF],
    "aiperf_1_0.json": [AIPERF],
    "aiperf_1_5.json": [AIPERF],
    "genai_perf.csv": [(39.84, 1550 + 125.0, 16.0)],
    "genai_perf.json": [AIPERF],
    "genai_perf_flat.json": [AIPERF],
    "guidellm_unversioned.json": [GUIDELLM],
    "guidellm_version_2.json": [GUIDELLM, GUIDELLM_POISSON],
    "plain.csv": PLAIN,
    "plain.json": PLAIN,
    "vllm.json": [VLLM],
    "vllm_appended.json": [VLLM, VLLM_OPEN_LOOP],
}


def numbers(points: tuple[MeasuredPoint, ...]) -> list[tuple[float, float, float]]:
    return [(point.streams, point.kv_tokens, point.step_ms) for point in points]


def entry_of(document: Any) -> Any:
    """The first measurement of a document, which the changes below are made to."""
    if isinstance(document, list):
        return document[0]
    return document["benchmarks"][0] if "benchmarks" in document else document


def load(name: str) -> Any:
    return json.loads((BENCHMARKS / name).read_text(encoding="utf-8"))


def written(document: Any, name: str = "changed.json") -> Path:
    path = Path(name)
    path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    return path


def at(entry: dict[str, Any], key: str) -> tuple[dict[str, Any], str]:
    *way, last = key.split(".")
    for part in way:
        entry = entry[part]
    return entry, last


def refusal(path: Path) -> str:
    with pytest.raises(PlannerError) as caught:
        read_points(path)
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(str(path))
    return message


@pytest.mark.parametrize("name", FILES)
def test_every_shape_is_read_by_its_content(name: str) -> None:
    points = read_points(BENCHMARKS / name)
    assert numbers(points) == [pytest.approx(point) for point in EXPECTED[name]]
    copy = written((BENCHMARKS / name).read_text(encoding="utf-8"), "no_ending")
    assert numbers(read_points(copy)) == numbers(points)


def test_an_endpoint_shares_its_streams_among_its_gpus_and_a_plain_table_is_per_gpu_already() -> None:
    assert numbers(read_points(BENCHMARKS / "vllm.json", gpus=8)) == [pytest.approx((63.75 / 8, 1128.0, 20.0))]
    assert numbers(read_points(BENCHMARKS / "plain.csv", gpus=8)) == PLAIN
    with pytest.raises(UsageError, match="gpus is 0"):
        read_points(BENCHMARKS / "vllm.json", gpus=0)


@pytest.mark.parametrize(
    ("name", "sources"),
    [
        ("plain.csv", [", line 2", ", line 3"]),
        ("plain.json", [", entry 1", ", entry 2"]),
        ("vllm.json", [""]),
        ("vllm_appended.json", [", entry 1", ", entry 2"]),
        ("guidellm_version_2.json", [", benchmark 1", ", benchmark 2"]),
    ],
)
def test_a_point_says_where_it_stands(name: str, sources: list[str]) -> None:
    assert [point.source for point in read_points(BENCHMARKS / name)] == [
        f"{BENCHMARKS / name}{end}" for end in sources
    ]


@pytest.mark.parametrize(
    ("name", "rate_key", "concurrency"),
    [
        ("vllm.json", "output_throughput", 64),
        ("guidellm_unversioned.json", "metrics.output_tokens_per_second", 16),
        ("aiperf_1_0.json", "output_token_throughput", 48),
        ("aiperf_1_5.json", "output_token_throughput", 48),
        ("genai_perf.json", "output_token_throughput", 48),
        ("genai_perf_flat.json", "output_token_throughput", 48),
    ],
)
def test_the_concurrency_stands_in_only_where_there_is_no_throughput(
    name: str, rate_key: str, concurrency: int
) -> None:
    document = load(name)
    holder, last = at(entry_of(document), rate_key)
    del holder[last]
    assert read_points(written(document))[0].streams == concurrency


def test_an_open_loop_run_without_throughput_is_refused_with_both_keys_named() -> None:
    document = load("vllm.json") | {"max_concurrency": None}
    del document["output_throughput"]
    assert {"output_throughput", "max_concurrency"} <= set(refusal(written(document)).replace('"', " ").split())


def test_a_chunk_of_several_tokens_does_not_make_the_step_longer_where_vllm_gives_the_time_per_token() -> None:
    document = load("vllm.json")
    assert document["mean_itl_ms"] == 21.0
    del document["mean_tpot_ms"]
    assert read_points(written(document))[0].step_ms == 21.0


@given(
    streams=st.integers(1, 512), answer=st.integers(2, 4000), step_ms=st.floats(1, 200), prefill_ms=st.floats(0, 60_000)
)
def test_littles_law_finds_the_streams_in_decode_of_a_closed_loop(
    streams: int, answer: int, step_ms: float, prefill_ms: float
) -> None:
    # every stream: prefill with its first token, the other tokens a step each, and again
    decode_ms = (answer - 1) * step_ms
    document = load("vllm.json") | {
        "completed": streams,
        "max_concurrency": streams,
        "total_input_tokens": streams * 1000,
        "total_output_tokens": streams * answer,
        "output_throughput": streams * answer / (prefill_ms + decode_ms) * 1e3,
        "mean_tpot_ms": step_ms,
    }
    (point,) = read_points(written(document))
    assert point.streams == pytest.approx(streams * decode_ms / (prefill_ms + decode_ms))
    assert point.streams <= streams * (1 + 1e-9)
    assert point.kv_tokens == pytest.approx(1000 + answer / 2)


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("vllm.json", "spec_decode_acceptance_length"),
        ("vllm.json", "accept_length"),
        ("aiperf_1_5.json", "spec_decode_acceptance_length"),
    ],
)
def test_speculative_decoding_is_refused_where_the_file_shows_it(name: str, key: str) -> None:
    assert "speculative decoding" in refusal(written(load(name) | {key: 2.5}))
    assert numbers(read_points(written(load(name) | {key: None}))) == [pytest.approx(point) for point in EXPECTED[name]]


def test_speculative_decoding_is_refused_in_the_csv_too() -> None:
    text = (BENCHMARKS / "aiperf.csv").read_text(encoding="utf-8")
    row = "Acceptance Length (ratio),2.50,2.50,2.50,2.50,2.50,0.00\n"
    assert "speculative decoding" in refusal(written(text.replace("Inter Token", row + "Inter Token"), "changed.csv"))


@pytest.mark.parametrize("unit", ["ns", "s", None])
def test_a_time_that_is_not_in_milliseconds_is_refused(unit: str | None) -> None:
    document = load("genai_perf.json")
    document["inter_token_latency"]["unit"] = unit
    assert "inter_token_latency.unit" in refusal(written(document))
    text = (BENCHMARKS / "genai_perf.csv").read_text(encoding="utf-8")
    changed = text.replace(
        "Inter Token Latency (ms)", f"Inter Token Latency ({unit})" if unit else "Inter Token Latency"
    )
    assert "inter_token_latency.unit" in refusal(written(changed, "changed.csv"))


VLLM_READ = ["completed", "total_input_tokens", "total_output_tokens", "mean_tpot_ms", "output_throughput"]
GUIDELLM_READ = [
    "metrics.prompt_token_count.successful.mean",
    "metrics.output_token_count.successful.mean",
    "metrics.inter_token_latency_ms.successful.mean",
    "metrics.output_tokens_per_second.total.mean",
]
AIPERF_READ = [
    f"{tag}.avg"
    for tag in ("inter_token_latency", "input_sequence_length", "output_sequence_length", "output_token_throughput")
]
KEYS_READ = [
    *(("plain.json", key) for key in ("batch", "kv_length", "step_ms")),
    *(("vllm.json", key) for key in VLLM_READ),
    *((name, key) for name in ("guidellm_unversioned.json", "guidellm_version_2.json") for key in GUIDELLM_READ),
    *((name, key) for name in ("aiperf_1_0.json", "aiperf_1_5.json", "genai_perf.json") for key in AIPERF_READ),
]


@pytest.mark.parametrize("value", [math.nan, math.inf, -1, 0, 1e300, 10**400, "20", "", True, [20], {"mean": 20}])
@pytest.mark.parametrize(("name", "key"), KEYS_READ)
def test_a_value_that_is_no_number_above_0_is_refused_with_its_key(name: str, key: str, value: object) -> None:
    document = load(name)
    holder, last = at(entry_of(document), key)
    holder[last] = value
    assert f'"{key}" is ' in refusal(written(document))


# without these another key stands in: ITL for TPOT, a median for a mean, the concurrency for the throughput
STAND_INS = (
    "mean_tpot_ms",
    "inter_token_latency_ms",
    "inter_token_latency",
    "output_throughput",
    "output_tokens_per_second",
    "output_token_throughput",
)


@pytest.mark.parametrize(
    ("name", "key"), [(name, key) for name, key in KEYS_READ if not any(part in STAND_INS for part in key.split("."))]
)
def test_a_missing_key_is_refused_by_its_name(name: str, key: str) -> None:
    for change in (lambda holder, last: holder.pop(last), lambda holder, last: holder.update({last: None})):
        document = load(name)
        change(*at(entry_of(document), key))
        message = refusal(written(document))
        assert f'"{key}"' in message
        assert "missing" in message


@pytest.mark.parametrize(
    ("name", "key", "median"),
    [
        ("guidellm_version_2.json", "metrics.inter_token_latency_ms.successful.mean", "median"),
        ("aiperf_1_5.json", "inter_token_latency.avg", "p50"),
        ("genai_perf.json", "inter_token_latency.avg", "p50"),
    ],
)
def test_a_median_stands_in_for_a_mean_and_is_noted_and_without_both_the_key_is_named(
    name: str, key: str, median: str
) -> None:
    document = load(name)
    holder, last = at(entry_of(document), key)
    holder[last] = None
    holder[median] = 17.5
    point = read_points(written(document))[0]
    assert (point.step_ms, point.notes) == (17.5, ("tpot_ms is a median: the file has no mean",))
    holder.clear()
    holder["unit"] = "ms"
    message = refusal(written(document))
    assert f'"{key}"' in message
    assert "missing" in message


def test_answers_of_one_token_have_no_decode_step() -> None:
    assert "no decode step" in refusal(written(load("vllm.json") | {"total_output_tokens": 200}))


def test_numbers_that_are_each_possible_and_together_are_not_are_refused() -> None:
    assert "check the numbers" in refusal(written(load("vllm.json") | {"output_throughput": 5e-324}))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (" \n\t", "is empty"),
        ("\ufeff", "is empty"),
        ("[]", "contains no measurement"),
        ('{"benchmarks": []}', "contains no measurement"),
        ("streams,kv_tokens,step_ms\n", "contains no measurement"),
        ("{", "is not valid JSON"),
        ('{"mean_tpot_ms": 20}\n{"mean_tpot_ms": ', "is not valid JSON"),
        ("[" * 100_000, "is not valid JSON"),
        ('"' + "x" * 200_000 + '"', "is not valid CSV"),
        ("{}", "known formats"),
        ("[1, [2], null]", "known formats"),
        ("streams;kv_tokens;step_ms\n16;4096;12.5\n", "known formats"),
        ("seconds,tokens\n1,2\n", "known formats"),
        ("streams,kv_tokens,step_ms\n16,4096\n", "line 2: has 2 cells for 3 columns"),
        ("streams,kv_tokens,step_ms\n\n16,4096,fast\n", "line 3: \"step_ms\" is 'fast'"),
        ("streams,kv_tokens,step_ms\n16,4096,nan\n", 'line 2: "step_ms" is nan'),
        ('streams,kv_tokens,step_ms\n16,4096,"12,5"\n', "line 2: \"step_ms\" is '12,5'"),
        ("streams,kv_tokens\n16,4096\n", 'line 2: "step_ms" is missing'),
        ("Metric,avg\nRequest Latency (ms),12\n", "known formats"),
        (
            '[{"streams": 1, "kv_tokens": 2, "step_ms": 3}, {"streams": 1, "kv_tokens": 2}]',
            'entry 2: "step_ms" is missing',
        ),
    ],
)
def test_bad_text_is_refused_in_one_line(text: str, said: str) -> None:
    assert said in refusal(written(text, "bad.txt"))


def test_an_unknown_shape_is_told_the_known_ones() -> None:
    message = refusal(written('{"answer": 42}'))
    assert all(name in message for name in ("streams, kv_tokens, step_ms", "vLLM", "GuideLLM", "AIPerf", "GenAI-Perf"))


def test_what_is_no_text_file_is_refused_in_one_line() -> None:
    assert "is not a file" in refusal(Path("nowhere.json"))
    assert "is not a file" in refusal(Path.cwd())
    Path("image.json").write_bytes(b"\x89PNG\xff\xfe")
    assert "is not UTF-8 text" in refusal(Path("image.json"))
    assert "check the path" in refusal(Path("x" * 5000))


def places(document: Any) -> Iterator[tuple[Any, Any]]:
    """Every container with a key or index in it."""
    for key, value in list(document.items() if isinstance(document, dict) else enumerate(document)):
        yield document, key
        if isinstance(value, dict | list):
            yield from places(value)


def assert_points_or_refused(path: Path) -> None:
    try:
        points, message = read_points(path), ""
    except PlannerError as error:
        points, message = (), str(error)
    assert bool(points) != bool(message)
    assert "\n" not in message
    assert all(math.isfinite(value) and value > 0 for point in numbers(points) for value in point)


@pytest.mark.parametrize("value", ["drop", None, math.nan, -1.0, 0, "text", [], {}])
@pytest.mark.parametrize("name", JSON_FILES)
def test_no_single_change_to_a_file_ends_in_a_traceback(name: str, value: object) -> None:
    document = load(name)
    for container, key in list(places(document)):
        before = container.copy()
        if value == "drop":
            del container[key]
        else:
            container[key] = value
        assert_points_or_refused(written(document))
        container.clear()
        if isinstance(container, list):
            container.extend(before)
        else:
            container.update(before)


@pytest.mark.parametrize("name", [name for name in FILES if name.endswith(".csv")])
@pytest.mark.parametrize("cell", ["", "nan", "-1", "0", "text", '"', "1,2"])
def test_no_single_change_to_a_csv_ends_in_a_traceback(name: str, cell: str) -> None:
    cells = (BENCHMARKS / name).read_text(encoding="utf-8").replace("\n", ",\n,").split(",")
    for index in range(len(cells)):
        changed = ",".join([*cells[:index], cell, *cells[index + 1 :]]).replace(",\n,", "\n")
        assert_points_or_refused(written(changed, "changed.csv"))


keys = st.sampled_from([*(part for _, key in KEYS_READ for part in key.split(".")), "benchmarks", "unit", "name"])
values = st.none() | st.booleans() | st.integers() | st.floats() | st.just("ms") | st.text(max_size=5)
documents = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=6))


@settings(max_examples=300)
@given(documents)
def test_no_json_ends_in_a_traceback(document: object) -> None:
    assert_points_or_refused(written(json.dumps(document)))


@settings(max_examples=200)
@given(st.sampled_from(["", "streams,kv_tokens,step_ms\n", "Metric,avg\n", "{", "["]), st.text())
def test_no_text_ends_in_a_traceback(start: str, text: str) -> None:
    path = Path("any.txt")
    path.write_bytes((start + text).encode("utf-8", "surrogatepass"))
    assert_points_or_refused(path)
