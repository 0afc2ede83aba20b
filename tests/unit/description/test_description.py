"""The description of the API: true, complete, up to date, and not broken for clients by accident."""

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
import yaml
from openapi_spec_validator import OpenAPIV31SpecValidator
from pydantic import BaseModel

from common.asyncapi import asyncapi
from stream_gateway.description import openapi
from stream_gateway.description.breaking import breaking_changes
from stream_gateway.description.examples import EXAMPLES

DOCS = Path(__file__).parents[3] / "docs"
GOLDEN = Path(__file__).with_name("openapi-v1.json")


def test_the_committed_description_is_up_to_date() -> None:
    """`make describe` would change nothing."""
    assert orjson.loads((DOCS / "openapi.json").read_bytes()) == orjson.loads(orjson.dumps(openapi()))
    assert yaml.safe_load((DOCS / "asyncapi.yaml").read_text()) == orjson.loads(orjson.dumps(asyncapi()))


def test_the_description_is_openapi_3_1() -> None:
    """Valid by the specification's own schema."""
    OpenAPIV31SpecValidator(openapi()).validate()


@pytest.mark.parametrize("model", EXAMPLES, ids=lambda model: model.__name__)
def test_every_example_is_one(model: type[BaseModel]) -> None:
    """What the description shows is what the model takes."""
    model.model_validate_json(json.dumps(EXAMPLES[model]))


def test_every_reference_leads_somewhere() -> None:
    """In both documents."""
    for document in (openapi(), asyncapi()):
        for reference in _references(document):
            place: Any = document
            for part in reference.removeprefix("#/").split("/"):
                place = place[part]


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return own + [found for value in node.values() for found in _references(value)]
    return [found for item in node for found in _references(item)] if isinstance(node, list) else []


def test_nothing_that_clients_rely_on_has_gone() -> None:
    """Version 1 as it was first given out: operations, answers and fields may be added, never taken away."""
    assert breaking_changes(orjson.loads(GOLDEN.read_bytes()), openapi()) == []


def test_a_breaking_change_is_seen() -> None:
    """A path, a method, a parameter, an answer, a field or a value of it, and what a request must newly have."""
    old = openapi()
    new = json.loads(json.dumps(old))
    del new["paths"]["/api/plan/quota"]
    del new["paths"]["/api/plan/plans/{planId}"]["delete"]
    del new["paths"]["/api/streaming/cancel/{planId}"]["delete"]["responses"]["202"]
    del new["components"]["schemas"]["StatusReply"]["properties"]["seq"]
    new["components"]["schemas"]["StartRequest"]["required"].append("onDisconnect")
    new["components"]["schemas"]["StatusReply"]["properties"]["attempt"]["type"] = "string"
    new["components"]["schemas"]["ErrorCode"]["enum"].remove("quota_exceeded")
    new["components"]["schemas"]["StatusReply"]["properties"]["status"]["enum"].remove("partial")
    watch = new["paths"]["/api/streaming/events/{planId}"]["get"]["parameters"]
    gone = watch.pop(next(n for n, each in enumerate(watch) if each["name"] == "lastEventId"))
    watch.append({**gone, "name": "since", "required": True})
    assert breaking_changes(old, new) == [
        "/api/plan/quota: gone",
        "delete /api/plan/plans/{planId}: gone",
        "get /api/streaming/events/{planId}: no parameter lastEventId any more",
        "get /api/streaming/events/{planId}: parameter since required now",
        "delete /api/streaming/cancel/{planId}: no answer 202 any more",
        "ErrorCode: no value quota_exceeded any more",
        "StartRequest.onDisconnect: required now",
        "StatusReply.attempt: integer became string",
        "StatusReply.seq: gone",
        "StatusReply.status: no value partial any more",
    ]
