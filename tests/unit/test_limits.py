"""The table of limits says what the code does."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

import plan_api.settings
import stream_gateway.settings
from common.bodies import BODY_SECONDS, MAX_BODY_BYTES, parse_model
from common.contracts.errors import ErrorCode, http_status
from common.contracts.inputs import PlanInputs
from common.contracts.public import MAX_BATCH
from common.http_requests import HEAD_SECONDS, MAX_HEAD_BYTES, MAX_HEADERS, MAX_REST_BYTES
from common.problems import ApiError
from plan_api.endpoints.guard import _LONGEST_KEY
from plan_api.endpoints.plans import LONGEST_PAGE
from stream_gateway.auth.session_cookie import MAX_CHARS
from stream_gateway.auth.tokens import MAX_TOKEN_CHARS
from stream_gateway.socket import MAX_PLANS, MAX_REFUSED
from stream_gateway.socket_protocol import MAX_MESSAGE_BYTES

DOCUMENT = (Path(__file__).parents[2] / "docs" / "limits.md").read_text()
USER = "7d0e8f4c-52a4-4f3e-9a70-3c1b8f1f1a01"
CONSTANTS = {
    "bytes of a request's line and headers": MAX_HEAD_BYTES,
    "headers of a request": MAX_HEADERS,
    "seconds for a request's headers to arrive": HEAD_SECONDS,
    "bytes after a request's headers, framing included, read or not": MAX_REST_BYTES,
    "bytes of a request body": MAX_BODY_BYTES,
    "seconds for a request body to arrive": BODY_SECONDS,
    "characters of an `Idempotency-Key`": _LONGEST_KEY,
    "plans in a page (`limit`)": LONGEST_PAGE,
    "plans in a batch": MAX_BATCH,
    "bytes of a WebSocket message": MAX_MESSAGE_BYTES,
    "plans watched over a WebSocket": MAX_PLANS,
    "WebSocket messages that are malformed or too many": MAX_REFUSED,
    "characters of a bearer token": MAX_TOKEN_CHARS,
    "characters of a session cookie, name and token": MAX_CHARS,
}
COMMITMENT = {"day": "monday", "startTime": "09:00", "endTime": "10:00", "description": "x"}
# By row: inputs that hold so many.
INPUTS: dict[str, Any] = {
    "characters of a goal": lambda size: {"goals": "x" * size},
    "goals": lambda size: {"goals": ["x"] * size},
    "focus areas": lambda size: {"focusAreas": ["x"] * size},
    "characters of a focus area, or of a commitment": lambda size: {
        "focusAreas": ["x" * size],
        "fixedCommitments": [COMMITMENT | {"description": "x" * size}],
    },
    "fixed commitments": lambda size: {"fixedCommitments": [COMMITMENT] * size},
}


def rows() -> dict[str, list[str]]:
    """The table's cells, by what is limited."""
    lines = [line for line in DOCUMENT.splitlines() if line.startswith("| ")][1:]
    return {cells[0]: cells[1:] for line in lines for cells in [[cell.strip() for cell in line[1:-1].split("|")]]}


def test_every_limit_with_a_setting_is_in_the_table() -> None:
    """With its default."""
    fields = plan_api.settings.Settings.model_fields | stream_gateway.settings.Settings.model_fields
    limits = {name.upper(): str(field.default) for name, field in fields.items() if "per_user" in name}
    limits["QUOTA_PLANS_PER_MONTH"] = str(fields["quota_plans_per_month"].default)
    assert {cells[1].strip("`"): cells[0] for cells in rows().values() if cells[1]} == limits


@pytest.mark.parametrize("row", CONSTANTS)
def test_the_other_limits_are_the_codes(row: str) -> None:
    """To the number."""
    assert float(rows()[row][0]) == CONSTANTS[row]


@pytest.mark.parametrize("row", INPUTS)
def test_inputs_up_to_the_limit_are_taken(row: str) -> None:
    """And one more is invalid input."""
    size, body = int(rows()[row][0]), {"userId": USER, "goals": "x"}
    PlanInputs.model_validate_json(_json(body | INPUTS[row](size)))
    with pytest.raises(ApiError) as refused:
        parse_model(_json(body | INPUTS[row](size + 1)).encode(), PlanInputs)
    assert refused.value.code is ErrorCode.INVALID_INPUT


def test_the_codes_have_their_status() -> None:
    """As everywhere."""
    named = [re.fullmatch(r"(\d+) `(\w+)`", cells[2]) for cells in rows().values()]
    found = [(int(match[1]), match[2]) for match in named if match]
    assert len(found) == len(rows()) - 8
    for status, code in found:
        assert http_status(ErrorCode(code)) == status


def _json(body: dict[str, Any]) -> str:
    return json.dumps(body)
