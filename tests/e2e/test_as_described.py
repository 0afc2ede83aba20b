"""The running gateway answers as its own `/openapi.json` says, to good requests and to bad ones."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from common.contracts.errors import ErrorCode, Problem
from local_stack import Stack
from stream_gateway.description.operations import OPERATIONS
from testkit import OpenStack, User
from testkit.secrecy import told

pytestmark = pytest.mark.full

SEED = 20261122
EXAMPLES = 25
NO_LIMITS = {
    "REQUESTS_PER_MINUTE_PER_USER": "0",
    "MAX_RUNNING_PLANS_PER_USER": "0",
    "MAX_STREAMS_PER_USER": "0",
    "QUOTA_PLANS_PER_MONTH": "0",
    "EMULATOR_TOKENS_PER_SECOND": "20000",
}
# Speaks no HTTP once it is open.
SOCKET = "openSocket"
# Watching is tried with ids that lead to no stream; starting a plan asks for JSON.
STREAMS = {"watchPlan", "watchBatch"}
CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
load_all_checks()
# What has no parameter and no body has nothing that could be bad.
GOOD = [(each.name, GenerationMode.POSITIVE) for each in OPERATIONS if each.name != SOCKET]
BAD = [
    (each.name, GenerationMode.NEGATIVE)
    for each in OPERATIONS
    if each.name != SOCKET and (each.body or each.parameters or "{" in each.path)
]


@pytest.fixture(scope="module")
async def own_stack(open_stack: OpenStack) -> AsyncIterator[Stack]:
    """A stack without limits, which would be most of the answers."""
    async with open_stack(NO_LIMITS) as running:
        yield running


@pytest.fixture
async def user(own_stack: Stack) -> AsyncIterator[User]:
    """Somebody with something."""
    async with User.at(own_stack.gateway) as somebody:
        yield somebody


@pytest.fixture
async def belongings(user: User) -> dict[str, str]:
    """Ids that lead somewhere, by the name that a path or a body has for them."""
    preference, plan = await user.inputs(), await user.start()
    body = {"preferenceIds": [await user.inputs()]}
    batch = await user.http.post("/api/streaming/batches", json=body)
    assert batch.status_code == httpx.codes.ACCEPTED, batch.text
    return {"preferenceId": preference, "planId": str(plan), "batchId": batch.json()["batchId"]}


@pytest.fixture(scope="module")
def schema(own_stack: Stack) -> Any:
    """What the gateway says of itself."""
    document = orjson.loads(httpx.get(f"{own_stack.gateway}/openapi.json").content)
    return schemathesis.openapi.from_dict(document)


def aimed(case: Any, user: User, belongings: dict[str, str], *, own: bool) -> dict[str, str]:
    """Put ids that lead somewhere into the case when it is to be `own`; the headers to send it with."""
    if own and case.operation.definition.raw["operationId"] not in STREAMS:
        for name in case.path_parameters or {}:
            case.path_parameters[name] = belongings[name]
        if isinstance(case.body, dict):
            case.body |= {name: belongings[name] for name in ("preferenceId",) if name in case.body}
            case.body |= {"userId": str(user.id)} if "userId" in case.body else {}
    return {"X-User-Id": str(user.id), "Accept": "application/json"}


@pytest.mark.timeout(120)
@pytest.mark.parametrize(("name", "mode"), GOOD + BAD, ids=[f"{name}-{mode.value}" for name, mode in GOOD + BAD])
def test_answers_are_as_described(
    schema: Any, own_stack: Stack, user: User, belongings: dict[str, str], name: str, mode: GenerationMode
) -> None:
    """No 5xx, no status, media type or document that is not described, and nothing that should not be told."""
    operation = schema.find_operation_by_id(name)

    @seed(SEED)
    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(operation.as_strategy(generation_mode=mode), st.booleans())
    def try_one(case: Any, own: bool) -> None:
        headers = aimed(case, user, belongings, own=own)
        answer = case.call(base_url=own_stack.gateway, headers=headers)
        case.validate_response(answer, checks=CHECKS)
        assert not told(answer.text, ())
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            problem = Problem.model_validate_json(answer.content)
            assert (problem.status, problem.code in ErrorCode) == (answer.status_code, True)

    try_one()
