"""The OpenAPI 3.1 document, assembled from the operations and the wire models. Pure.

What pydantic knows of a model is its schema here, so that the description cannot drift from what is checked.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from typing import Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from common.contracts.errors import ErrorCode, Problem, http_status
from common.contracts.events import Cancelled, Complete, Connected, Failed, ProgressEvent, Snapshot
from common.contracts.plan import PlanDocument
from common.problems import PROBLEM_MEDIA_TYPE
from stream_gateway.description.examples import EXAMPLES, STREAM
from stream_gateway.description.operation import Operation, Parameter
from stream_gateway.description.operations import OPERATIONS

VERSION: Final = "1.0.0"
EVENTS: Final[tuple[type[BaseModel], ...]] = (Connected, Snapshot, ProgressEvent, Complete, Cancelled, Failed)
_EVERYWHERE: Final = (ErrorCode.UNAVAILABLE, ErrorCode.INTERNAL)
_SIGNED_IN: Final = (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN, ErrorCode.RATE_LIMITED)
_ABOUT: Final = """\
Plans that are watched while a language model writes them: live, resumable, cancellable, charged once.

A stream is Server-Sent Events; the name of an event is its `event`, its `data` is one of the schemas named
`…Event`, its `id` is `<attempt>.<seq>`. docs/protocol.md tells how they follow each other.
"""


def openapi() -> dict[str, Any]:
    """The document."""
    paths: dict[str, dict[str, Any]] = defaultdict(dict)
    for operation in OPERATIONS:
        paths[operation.path][operation.method] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Planstream", "version": VERSION, "description": _ABOUT},
        "security": [{"bearer": []}, {"cookie": []}],
        "paths": dict(paths),
        "components": {
            "schemas": _schemas(),
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "cookie": {
                    "type": "apiKey",
                    "in": "cookie",
                    "name": "__Host-planstream",
                    "description": "made by POST /api/session; HttpOnly",
                },
            },
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": [*map(_path_parameter, _ids(operation.path)), *map(_parameter, operation.parameters)],
        "responses": _responses(operation),
    }
    if operation.body is not None:
        content: dict[str, Any] = {"schema": _reference(operation.body)}
        if operation.body in EXAMPLES:
            content["example"] = EXAMPLES[operation.body]
        described["requestBody"] = {"required": True, "content": {"application/json": content}}
    if operation.open:
        described["security"] = []
    return described


def _ids(path: str) -> list[str]:
    return re.findall(r"\{(\w+)\}", path)


def _path_parameter(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "format": "uuid"}}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    return {
        "name": parameter.name,
        "in": parameter.place,
        "description": parameter.description,
        "schema": dict(parameter.schema),
    }


def _responses(operation: Operation) -> dict[str, Any]:
    responses = {str(status): _answer(*answer) for status, answer in operation.answers.items()}
    codes = operation.errors if operation.open else (*operation.errors, *_SIGNED_IN, *_EVERYWHERE)
    by_status: dict[int, list[ErrorCode]] = defaultdict(list)
    for code in dict.fromkeys(codes):
        by_status[http_status(code)].append(code)
    for status, found in sorted(by_status.items()):
        responses.setdefault(str(status), _refusal(found))
    return responses


def _answer(description: str, kind: "type[BaseModel] | str") -> dict[str, Any]:
    match kind:
        case "nothing" | "socket":
            return {"description": description}
        case "json":
            return {"description": description, "content": {"application/json": {"schema": {"type": "object"}}}}
        case "stream" | "batch stream":
            # OpenAPI 3.1 has no word for the items of a stream.
            events = [{"$ref": f"#/components/schemas/{_event_name(event)}"} for event in EVENTS]
            content = {"schema": {"type": "string", "x-events": events}, "example": STREAM}
            return {"description": description, "content": {"text/event-stream": content}}
        case type():
            content = {"schema": _reference(kind)}
            if kind in EXAMPLES:
                content["example"] = EXAMPLES[kind]
            return {"description": description, "content": {"application/json": content}}
        case _:
            raise AssertionError(kind)


def _refusal(codes: Iterable[ErrorCode]) -> dict[str, Any]:
    names = ", ".join(f"`{code}`" for code in codes)
    return {
        "description": f"Refused: {names}",
        "content": {PROBLEM_MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{model.__name__}"}


def _event_name(event: type[BaseModel]) -> str:
    name: str = event.model_fields["event"].default
    return f"{name.capitalize()}Event"


def _schemas() -> dict[str, Any]:
    sent = {operation.body for operation in OPERATIONS if operation.body is not None}
    answered = {
        kind for operation in OPERATIONS for _, kind in operation.answers.values() if isinstance(kind, type)
    } | {Problem, PlanDocument}
    wanted = [(model, "validation") for model in sent] + [(model, "serialization") for model in (*answered, *EVENTS)]
    _, found = models_json_schema(
        sorted(wanted, key=lambda pair: pair[0].__name__),  # type: ignore[arg-type]  # the literals became str
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = found["$defs"]
    for event in EVENTS:
        schema = schemas.pop(event.__name__)
        # The name of an event travels in its own SSE field, and is no member of the data.
        schema["properties"].pop("event")
        schema["required"] = [name for name in schema.get("required", ()) if name != "event"]
        schemas[_event_name(event)] = schema | {"title": _event_name(event)}
    return dict(sorted(schemas.items()))
