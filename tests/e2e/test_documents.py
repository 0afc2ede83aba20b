"""The documents' examples are executed, and their tables are complete."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

import generator.settings
import plan_api.settings
import stream_gateway.settings
from common.contracts.errors import ErrorCode, http_status
from common.contracts.inputs import PlanInputs
from common.contracts.plan import PlanDocument
from common.contracts.public import BatchStarted
from common.settings import ServiceSettings
from local_stack import Stack
from testkit import User
from testkit.shell import pasted
from testkit.upstream import Upstream
from testkit.upstream_cases import once, short_plan, text_of

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


async def test_readme_session_runs_as_pasted(stack: Stack, tmp_path: Path) -> None:
    """All shell examples, one after the other in one shell, do what the README says of them."""
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY": stack.gateway,
        "PLAN_API": stack.addresses.plan_api,
        "SERVICE_TOKEN": stack.addresses.service_token,
    }
    output = await pasted(blocks(README, "bash"), tmp_path, environment)
    names = re.findall(r"^event: (.*)$", output, re.MULTILINE)
    first = names[: names.index("complete") + 1]
    assert first[0] == "connected"
    assert set(first) == {"connected", "snapshot", "progress", "complete"}
    assert names.count("connected") >= 2
    answers = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    status, plan, quota, cancelled, generated = answers
    assert (status["status"], plan["status"], generated["status"]) == ("completed",) * 3
    assert cancelled["status"] in ("partial", "completed")
    assert "Endurance" in json.dumps(plan["plan"])
    assert (quota["used"], quota["remaining"]) == (1, 29)


def setting_names() -> set[str]:
    """Every environment variable that a service reads."""
    models: list[type[ServiceSettings]] = [
        generator.settings.Settings,
        plan_api.settings.Settings,
        stream_gateway.settings.Settings,
    ]
    return {name.upper() for model in models for name in model.model_fields}


def test_readme_names_every_setting() -> None:
    """The settings table is complete."""
    table = README[README.index("## Settings") : README.index("## Troubleshooting")]
    assert setting_names() - set(re.findall(r"[A-Z][A-Z_]{3,}", table)) == set()


def test_readme_session_begins_at_the_address_that_make_run_prints() -> None:
    """The example's default address is the stack's default port."""
    assert "http://127.0.0.1:8080" in blocks(README, "bash")[0]


@pytest.mark.parametrize("code", ErrorCode)
def test_protocol_names_every_error_code(code: ErrorCode) -> None:
    """Each code stands in the document, with its status where it has one of its own."""
    row = next(line for line in PROTOCOL.splitlines() if line.startswith("|") and f"`{code}`" in line)
    if http_status(code) not in (502, 504):
        assert str(http_status(code)) in row or code == ErrorCode.INTERNAL


async def test_protocol_inputs_are_accepted_as_they_stand(stack: Stack) -> None:
    """The example of the inputs is valid, and the example of the document is a document."""
    example, document, batch, _ = blocks(PROTOCOL, "json")
    inputs = PlanInputs.model_validate_json(example)
    PlanDocument.model_validate_json(document)
    started = BatchStarted.model_validate_json(batch)
    assert started.model_dump(mode="json", by_alias=True, exclude_none=True) == json.loads(batch)
    async with User.at(stack.gateway, inputs.user_id) as user:
        answer = await user.http.post("/api/plan/inputs", content=example, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
        stored = await user.get(f"/api/plan/inputs/{answer.json()['preferenceId']}")
    assert {key: stored[key] for key in json.loads(example)} == json.loads(example)


async def test_protocol_batch_runs_as_pasted(stack: Stack, tmp_path: Path) -> None:
    """Two plans over one stream to batch_complete; and then there is nothing left to cancel."""
    async with User.at(stack.gateway) as user:
        given = {"USER_ID": str(user.id), "FIRST": await user.inputs(), "SECOND": await user.inputs()}
        environment = {"PATH": os.environ["PATH"], "GATEWAY": stack.gateway, **given}
        output = await pasted(blocks(PROTOCOL, "bash"), tmp_path, environment)
    names = re.findall(r"^event: (.*)$", output, re.MULTILINE)
    assert (names.count("connected"), names.count("complete"), names[-1]) == (2, 2, "batch_complete")
    cancelled = json.loads(output.splitlines()[-1])
    assert [plan["status"] for plan in cancelled["plans"]] == ["completed"] * 2


async def test_protocol_conversation_is_answered_as_it_says(stack: Stack) -> None:
    """Every message as pasted, with the id of a plan that exists: answers come in that order, with those members."""
    [conversation] = [block for block in blocks(PROTOCOL, "text") if "→" in block]
    slow = once(content=text_of(short_plan()), chars_per_token=4, tokens_per_second=20)
    async with Upstream.of(stack) as upstream, User.at(stack.gateway) as user:
        body = await upstream.scripted(user, (slow,))
        accepted = {"Accept": "application/json"}
        started = await user.http.post("/api/streaming/generate-plan", json=body, headers=accepted)
        spoken = conversation.replace("6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac", started.json()["planId"])
        address = f"ws{stack.gateway.removeprefix('http')}/api/streaming/ws"
        async with (
            asyncio.timeout(30),
            connect(address, additional_headers={"X-User-Id": str(user.id)}, proxy=None) as socket,
        ):
            for line in spoken.splitlines():
                way, text = line.split(" ", 1)
                if way == "→":
                    await socket.send(text)
                    continue
                answer = json.loads(await socket.recv())
                while answer["event"] == "progress":
                    answer = json.loads(await socket.recv())
                expected = json.loads(text)
                assert answer["event"] == expected["event"], answer
                assert answer.keys() == expected.keys()
                assert answer.get("planId") == expected.get("planId")
