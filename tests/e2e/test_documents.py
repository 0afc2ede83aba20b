"""The documents' examples are executed, and their tables are complete."""

import asyncio
import json
import os
import re
from pathlib import Path

import pytest

import generator.settings
import plan_api.settings
import stream_gateway.settings
from common.contracts.errors import ErrorCode, http_status
from common.contracts.inputs import PlanInputs
from common.contracts.plan import PlanDocument
from common.settings import ServiceSettings
from local_stack import Stack
from testkit import User

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()


def blocks(text: str, language: str) -> list[str]:
    """The fenced examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


async def test_readme_session_runs_as_pasted(stack: Stack, tmp_path: Path) -> None:
    """All shell examples, one after the other in one shell, do what the README says of them."""
    script = "set -euo pipefail\n" + "\n".join(blocks(README, "bash"))
    environment = {
        "PATH": os.environ["PATH"],
        "GATEWAY": stack.gateway,
        "PLAN_API": stack.addresses.plan_api,
        "SERVICE_TOKEN": stack.addresses.service_token,
    }
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script,
        cwd=tmp_path,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(shell.communicate(), 50)
    assert shell.returncode == 0, errors.decode()
    names = re.findall(r"^event: (.*)$", output.decode(), re.MULTILINE)
    first = names[: names.index("complete") + 1]
    assert first[0] == "connected"
    assert set(first) == {"connected", "snapshot", "progress", "complete"}
    assert names.count("connected") >= 2
    answers = [json.loads(line) for line in output.decode().splitlines() if line.startswith("{")]
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
    example, document, _ = blocks(PROTOCOL, "json")
    inputs = PlanInputs.model_validate_json(example)
    PlanDocument.model_validate_json(document)
    async with User.at(stack.gateway, inputs.user_id) as user:
        answer = await user.http.post("/api/plan/inputs", content=example, headers={"Content-Type": "application/json"})
        assert answer.status_code == 201
        stored = await user.get(f"/api/plan/inputs/{answer.json()['preferenceId']}")
    assert {key: stored[key] for key in json.loads(example)} == json.loads(example)
