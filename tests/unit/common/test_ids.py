"""UUIDs as they come from outside."""

import json
from typing import Any, get_type_hints
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from common.contracts.inputs import PlanInputs
from common.contracts.internal import CancelRequest, PlanQuery, StartRequest, SyncRequest
from common.contracts.messages import GenerateJob
from common.ids import Uuid, parse_uuid

TEXT = "6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac"


@pytest.mark.parametrize(
    "value", ["", "x", f"{{{TEXT}}}", TEXT.replace("-", ""), f"urn:uuid:{TEXT}", TEXT[:-1] + "g", "x" * 36, None, 7]
)
def test_only_the_canonical_form_is_a_uuid(value: object) -> None:
    """An id becomes part of a subject and of keys: other spellings of a UUID, and all else, are refused."""
    assert parse_uuid(value) is None


def test_a_uuid_in_capitals_is_one() -> None:
    """RFC 9562: input is case-insensitive."""
    assert parse_uuid(TEXT.upper()) == UUID(TEXT)


BODIES: dict[type[BaseModel], dict[str, Any]] = {
    PlanInputs: {"userId": TEXT, "goals": "x"},
    StartRequest: {"preferenceId": TEXT, "userId": TEXT},
    SyncRequest: {"preferenceId": TEXT, "userId": TEXT},
    CancelRequest: {"userId": TEXT},
    PlanQuery: {"planIds": [TEXT]},
    GenerateJob: {
        "planId": TEXT,
        "userId": TEXT,
        "preferenceId": TEXT,
        "preferences": {"goals": "x"},
        "acceptedAt": "2026-12-01T00:00:00Z",
    },
}
IDS = [(model, name) for model, body in BODIES.items() for name in body if name.lower().endswith(("id", "ids"))]


@pytest.mark.parametrize(("model", "name"), IDS)
@pytest.mark.parametrize("given", [f"{{{TEXT}}}", f"urn:uuid:{TEXT}", TEXT.replace("-", ""), "me", 7, 1.5, True, {}])
def test_a_body_takes_ids_in_the_same_form_alone(model: type[BaseModel], name: str, given: object) -> None:
    """Every id in a body that is sent to us is refused with the same sentence, which shows what one looks like."""
    body = BODIES[model]
    assert model.model_validate_json(json.dumps(body))
    wrong = body | {name: [given] if isinstance(body[name], list) else given}
    with pytest.raises(ValidationError) as refused:
        model.model_validate_json(json.dumps(wrong))
    assert [fault["msg"] for fault in refused.value.errors()] == [f"Value error, must be a UUID, such as {TEXT}"]


@pytest.mark.parametrize("model", BODIES)
def test_no_body_has_an_id_of_another_kind(model: type[BaseModel]) -> None:
    """Whoever adds an id takes the strict one."""
    hints = get_type_hints(model, include_extras=True)
    assert all(str(Uuid) in str(hint) for hint in hints.values() if "UUID" in str(hint))
