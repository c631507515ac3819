"""The description of the addresses that answer with documents, in OpenAPI 3.1: made of the documents themselves."""

from typing import Any

from planner.documents import schema
from planner.web.answer import AnswerDocument
from planner.web.controls import PATHS, SLIDERS
from planner.web.job_pages import LongWorkDocument
from planner.web.panes import PANES
from planner.web.swing import SwingDocument


def openapi(version: str) -> dict[str, Any]:
    """The whole description."""
    documents: dict[str, tuple[str, Any]] = {
        "/answer.json": ("The first screen: the answer, the plan and the sliders.", AnswerDocument),
        **{f"/{pane.name}.json": (f"{pane.title}.", pane.document) for pane in PANES.values()},
    }
    paths = {path: _get(words, kind, _state()) for path, (words, kind) in documents.items()}
    paths["/jobs.json"] = _get("All long work that is remembered.", list[LongWorkDocument], [])
    slider = {
        "name": "pane.slider",
        "in": "query",
        "required": True,
        "schema": {"type": "string", "enum": list(SLIDERS)},
    }
    paths["/swing.json"] = _get("What a slider can do, from end to end.", SwingDocument, [*_state(), slider])
    job_id = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string"}}
    paths["/jobs/{job_id}.json"] = _get("One job, with what it made.", LongWorkDocument, [job_id])
    return {
        "openapi": "3.1.0",
        "info": {"title": "planner serve", "version": version, "description": "What the pages show, as documents."},
        "paths": paths,
    }


def _get(words: str, kind: Any, parameters: list[dict[str, Any]]) -> dict[str, Any]:
    problem = {
        "type": "object",
        "required": ["problem"],
        "properties": {"problem": {"type": "string", "description": "What is wrong, and the cure."}},
    }
    return {
        "get": {
            "summary": words,
            "parameters": parameters,
            "responses": {
                "200": {"description": "The document.", "content": {"application/json": {"schema": schema(kind)}}},
                "422": {"description": "It cannot be made.", "content": {"application/json": {"schema": problem}}},
            },
        }
    }


def _state() -> list[dict[str, Any]]:
    """What an address may say."""
    plain = {
        "scenario": "Name of the scenario; the first that is served where it is left out.",
        "trace": "A stored trace in place of the scenario's own.",
        "from": "First moment that is looked at, ISO-8601.",
        "to": "Last moment that is looked at.",
        "compare": "1 for a plan B beside A, though it is the same.",
    }
    plain |= {path: f"The setting {path} of plan A." for path in PATHS}
    plain |= {f"b.{path}": f"The setting {path} of plan B, where it differs from A." for path in PATHS}
    return [
        {"name": name, "in": "query", "required": False, "description": words, "schema": {"type": "string"}}
        for name, words in plain.items()
    ]
