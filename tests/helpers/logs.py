"""Logs as their formats have them: rows, records and folders to import."""

import json
from pathlib import Path
from typing import Any

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:17:04.0319600,3180,8\r\n"
    "2023-11-16 18:17:03.9799600,4808,10\r\n"
    "2023-11-16 18:17:05,110,27\r\n"
    "2023-11-16 20:17:05+02:00,110,27"
)


MOONCAKE = [
    {"timestamp": 0, "input_length": 1100, "output_length": 5, "hash_ids": [1, 2, 3]},
    {"timestamp": 10, "input_length": 1030, "output_length": 6, "hash_ids": [1, 2, 4]},
    {"timestamp": 10, "input_length": 600, "output_length": 7, "hash_ids": [1, 2]},
    {"timestamp": 20, "input_length": 100, "output_length": 0, "hash_ids": [9]},
]


BURST_1 = [
    "Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type",
    "5,ChatGPT,472,18,490,Conversation log",
]


BURST_3 = [
    "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type",
    "5,ab,1.2,ChatGPT,472,18,490,Conversation log",
    "118.5,,2,GPT-4,417,276,693,API log",
    "119,,2,GPT-4,417,0,417,API log",
]


def qwen(chat: int, parent: int, at: float, *blocks: int, tokens: int = 50) -> dict[str, object]:
    head = {"chat_id": chat, "parent_chat_id": parent, "timestamp": at, "input_length": tokens, "output_length": 1}
    return {**head, "type": "text", "turn": 1, "hash_ids": list(blocks)}


LITELLM: list[dict[str, Any]] = [
    {
        "request_id": "a",
        "startTime": "2025-03-01T00:00:00.250Z",
        "endTime": "2025-03-01T00:00:02Z",
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "model": "gpt",
        "metadata": {"usage_object": {"prompt_tokens_details": {"cached_tokens": 64}}},
        "cache_hit": "False",
        "status": "success",
        "session_id": "s",
    },
    {"startTime": "2025-03-01T00:00:01", "prompt_tokens": 10, "completion_tokens": 1, "model": "gpt", "metadata": {}},
    {"startTime": "2025-03-01T00:00:01", "prompt_tokens": 1, "completion_tokens": 1, "cache_hit": "True"},
    {"startTime": "2025-03-01T00:00:01", "prompt_tokens": 0, "completion_tokens": 0, "status": "failure"},
]


AIPERF = {
    "metadata": {"x_correlation_id": "c", "request_start_ns": 1_759_813_207_532_900_363, "was_cancelled": False},
    "metrics": {"input_sequence_length": {"value": 550}, "output_sequence_length": {"value": 9}},
}


AIPERF_CANCELLED = {
    "metadata": {"x_correlation_id": "d", "request_start_ns": 1_759_879_161_119_147_826, "was_cancelled": True},
    "metrics": {"error_isl": {"value": 550}},
    "error": {"code": 499},
}


INFERENCE_PERF: list[dict[str, Any]] = [
    {
        "start_time": 10.5,
        "end_time": 11.0,
        "info": {
            "request_metrics": {"text": {"input_tokens": 20}},
            "response_metrics": {
                "output_tokens": 5,
                "server_usage": {
                    "prompt_tokens": 25,
                    "completion_tokens": 6,
                    "prompt_tokens_details": {"cached_tokens": 16},
                },
            },
        },
        "error": None,
    },
    {"start_time": 12.0, "end_time": 13.0, "info": {"input_tokens": 3, "output_tokens": 4}, "error": None},
    {"start_time": 12.0, "end_time": 13.0, "info": {"input_tokens": 3}, "error": {"error_type": "x"}},
]


def bucket(start_s: int, *results: tuple[int, int, int, int]) -> dict[str, object]:
    names = ("num_model_requests", "input_tokens", "input_cached_tokens", "output_tokens")
    found = [dict(zip(names, result, strict=True)) for result in results]
    return {"object": "bucket", "start_time": start_s, "end_time": start_s + 86_400, "results": found}


DAYS = [
    bucket(1_730_419_200, (5, 1000, 800, 500), (1, 10, 0, 5)),
    bucket(1_730_505_600),
    bucket(1_730_592_000, (2, 4, 0, 2)),
]


def span(start_s: int, **attributes: object) -> dict[str, object]:
    listed = [
        {
            "key": key.replace("__", "."),
            "value": {"intValue": str(value)} if isinstance(value, int) else {"stringValue": value},
        }
        for key, value in attributes.items()
    ]
    return {"traceId": "a", "name": "chat", "startTimeUnixNano": str(start_s * 10**9), "attributes": listed}


SMALL = {
    0: "0,0.01,1,Gamma,1.0,1.0\n600,0,0,,0,0\n1200,0.05,2,Weibull,0.7,1.0\n",
    1: "0,0.5,1,Gamma,1.0,1.0\n600,0,0,,0,0\n1200,0,0,,0,0\n",
}


HISTOGRAMS = {0: {"0": {"input_tokens": "{10: 0.25, 30: 0.75}", "output_tokens": "{4: 1.0}"}}}


def folder(path: Path, rates: dict[int, str], lengths: dict[int, object]) -> Path:
    path.mkdir()
    for client, text in rates.items():
        (path / f"chunk-{client}-trace.csv").write_text(text)
    for client, data in lengths.items():
        (path / f"chunk-{client}-dataset.json").write_text(json.dumps(data))
    return path
