"""Whatever is written into a model's configuration: it is read, or one line says why it cannot be."""

import copy
import json
import os
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from planner.catalogue.configurations.read import Naming, read_configuration
from planner.catalogue.model_documents import describe_model
from planner.catalogue.model_toml import model_toml
from planner.catalogue.toml_tree import tree_of
from planner.errors import UsageError
from planner.settings.models import Model
from tests.helpers.configurations import KINDS

MUTATIONS = int(os.environ.get("PLANNER_TEST_MUTATIONS", "1000"))
VALUES = (
    *(None, True, False, 0, 1, 2, 3, 7, -1, 10**9, 10**9 + 1, 10**400, 0.5, 1e308, float("nan"), float("inf")),
    *("", "x", "full_attention", "float32", "\x1b[31m", "é" * 300, "relu2", "fp8"),
    *([], [1], [[]], [None] * 4, ["full_attention"] * 4, [0, 1, 0, 1], ["sliding_attention"] * 4, [{}], {}),
    *({"a": 1}, {"num_hidden_layers": 2}, {"quant_algo": "NVFP4"}, {"quant_method": "awq", "bits": 4}),
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    for key, value in tree.items():
        yield (*path, key)
        if isinstance(value, dict):
            yield from places(value, (*path, key))


def mutated(config: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    """A configuration with some keys left out, given another value, or another's key."""
    changed = copy.deepcopy(config)
    for _ in range(chance.choice((1, 1, 2, 3))):
        *heads, last = chance.choice(list(places(changed)) or [("model_type",)])
        inside = changed
        for head in heads:
            inside = inside[head]
        what = chance.random()
        if what < 0.3:
            inside.pop(last, None)
        elif what < 0.9:
            inside[last] = copy.deepcopy(chance.choice(VALUES))
        else:
            other = chance.choice(list(KINDS.values()))
            key = chance.choice(sorted(other))
            inside[key] = copy.deepcopy(other[key])
    return changed


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_any_configuration_is_read_or_refused_in_one_line(kind: str) -> None:
    chance = random.Random(f"configurations of {kind}")
    refused: list[str] = []
    path, read = Path("config.json"), 0
    for _ in range(MUTATIONS // len(KINDS)):
        text = json.dumps(mutated(KINDS[kind], chance))
        path.write_text(text)
        try:
            model = read_configuration(path, Naming(name="any")).model
        except UsageError as error:
            refused.append(str(error))
            continue
        read += 1
        described = describe_model(model)
        assert described.parameters >= described.active_parameters > 0, text
        assert Model.model_validate(tree_of(model_toml(model))) == model, text
    assert all(line.isprintable() and len(line) < 2000 for line in refused)
    assert read
    assert refused
