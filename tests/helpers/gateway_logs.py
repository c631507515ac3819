"""Logs of gateways and services, written as they are and imported by the command line."""

import csv
import json
from pathlib import Path
from typing import Any

from tests.conftest import Cli


def written(path: Path, name: str, document: object) -> Path:
    if name == "azure-apim":
        assert isinstance(document, dict)
        with path.open("w", newline="") as file:
            table = csv.DictWriter(file, list(document))
            table.writeheader()
            table.writerow(document)
    else:
        path.write_text(json.dumps(document) + "\n")
    return path


def imported(cli: Cli, path: Path, *words: str) -> dict[str, Any]:
    result = cli("trace", "import", str(path), "--name", "t", "--json", *words)
    assert result.code == 0, result.err
    found: dict[str, Any] = result.json
    return found


def usage_page(
    *, has_more: bool, kind: str = "organization.usage.completions.result", start_s: int = 1793577600
) -> Any:
    result = {
        "object": kind,
        "input_tokens": 100,
        "output_tokens": 5,
        "input_cached_tokens": 60,
        "num_model_requests": 2,
    }
    bucket = {"object": "bucket", "start_time": start_s, "end_time": start_s + 3600, "results": [result]}
    return {"object": "page", "data": [bucket], "has_more": has_more, "next_page": "x" if has_more else None}
