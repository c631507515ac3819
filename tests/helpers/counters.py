"""Counters of inference servers, as text that a Prometheus server takes samples from."""

from datetime import UTC, datetime

START = int(datetime(2025, 3, 1, tzinfo=UTC).timestamp())


VLLM = ("vllm:request_success", "vllm:prompt_tokens", "vllm:prefix_cache_hits", "vllm:generation_tokens")


SGLANG = ("sglang:num_requests", "sglang:prompt_tokens", "sglang:cached_tokens", "sglang:generation_tokens")


Sample = tuple[int, str, float]
"""Seconds from the start, labels, value."""


def exposition(samples: dict[str, list[Sample]]) -> str:
    """OpenMetrics' text of counters."""
    lines = []
    for metric, found in samples.items():
        lines.append(f"# TYPE {metric} counter")
        by_series = sorted(found, key=lambda sample: (sample[1], sample[0]))
        lines += [f"{metric}_total{{{labels}}} {value} {START + at}" for at, labels, value in by_series]
    return "\n".join(lines) + "\n"


def growing(labels: str, per_minute: float, minutes: range, first: float = 0.0) -> list[Sample]:
    """A counter that grows by so much a minute, sampled every 30 s."""
    return [
        (30 * half, labels, first + per_minute / 2 * (half - 2 * minutes.start))
        for half in range(2 * minutes.start, 2 * minutes.stop + 1)
    ]


def vllm(*series: dict[str, list[Sample]]) -> str:
    return exposition({metric: [sample for one in series for sample in one[metric]] for metric in VLLM})


def steady(labels: str, rate: float, minutes: range, first: float = 0.0) -> dict[str, list[Sample]]:
    """A server with so many requests a minute of 100 input tokens, 40 of them cached, and 10 output tokens."""
    factors = dict(zip(VLLM, (1, 100, 40, 10), strict=True))
    return {metric: growing(labels, rate * factor, minutes, first * factor) for metric, factor in factors.items()}
