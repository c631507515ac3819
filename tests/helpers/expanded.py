"""A sample to expand, and what is stored of it and of what was made of it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import Cli

WEIGHT = 10
START_US = 1_740_787_200_000_000
"""2025-03-01T00:00Z."""


def sample(path: Path, minutes: int = 90, *, sessions: bool = True) -> Path:
    """A log of one in ten requests: two classes, some sessions, lengths that are told apart."""
    random = np.random.default_rng(3)
    lines = ["arrival,input_tokens,cached_input_tokens,output_tokens,class,session_id,sample_weight"]
    for number, at_s in enumerate(np.sort(random.uniform(0, 60 * minutes, 4 * minutes))):
        arrival = np.datetime64(START_US + int(at_s * 1e6), "us")
        lengths = f"{1000 + number},{number // 2},{50 + number}"
        session = f"{number // 3}" if sessions and number % 2 else ""
        lines.append(f"{arrival}Z,{lengths},{'chat' if number % 3 else 'batch'},{session},{WEIGHT}")
    path.write_text("\n".join(lines) + "\n")
    return path


def totals(cli: Cli, trace: str, by: Sequence[str] = ("class", "cell")) -> list[Any]:
    """Requests and tokens of every class in every quarter of an hour, the sample weight applied."""
    keys = ", ".join(by)
    query = (
        f"SELECT {keys}, count(*) * any_value(sample_weight) AS requests, "
        "sum(r.input_tokens) * any_value(sample_weight) AS input, "
        "sum(r.cached_input_tokens) * any_value(sample_weight) AS cached, "
        "sum(r.output_tokens) * any_value(sample_weight) AS output "
        f"FROM (SELECT *, arrival_us // 900000000 AS cell FROM request) AS r JOIN trace AS t USING (trace_id) "
        f"LEFT JOIN request_class USING (trace_id, class_id) WHERE name = '{trace}' GROUP BY {keys} ORDER BY {keys}"
    )
    return cli("sql", query, "--format", "json").json  # type: ignore[no-any-return]


def rows(cli: Cli, trace: str) -> list[Any]:
    query = (
        "SELECT r.* EXCLUDE (trace_id, request_seq) FROM request AS r JOIN trace USING (trace_id) "
        f"WHERE name = '{trace}' ORDER BY request_seq"
    )
    return cli("sql", query, "--format", "json").json  # type: ignore[no-any-return]
