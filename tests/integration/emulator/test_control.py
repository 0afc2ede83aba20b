"""The control API over HTTP, and the emulator as a process and in a thread."""

import asyncio
import os
import signal
import sys
import time
from typing import Any

import httpx
import pytest

from openrouter_emulator import RunningEmulator, Settings, running_emulator

BODY = {"model": "openai/gpt-4.1-mini", "stream": True}


def chat_body(prompt: str, **members: Any) -> dict[str, Any]:
    """A chat completion request."""
    return {**BODY, "messages": [{"role": "user", "content": prompt}], **members}


@pytest.fixture
async def own() -> Any:
    """An emulator of this test's own: its counters are counted."""
    settings = Settings(ttft_seconds=0, tokens_per_second=1e6, control_port=0)
    async with running_emulator(settings) as emulator:
        yield emulator


@pytest.fixture
async def client() -> Any:
    """An HTTP client with a key."""
    async with httpx.AsyncClient(headers={"Authorization": "Bearer sk-or-v1-secret"}) as opened:
        yield opened


async def test_behaviours_are_set_listed_and_cleared(own: RunningEmulator, client: httpx.AsyncClient) -> None:
    """The whole life of an assignment, over HTTP."""
    url = f"{own.control_url}/behaviours"
    assignment = {
        "behaviour": {"http_error": {"status": 429, "retry_after": 1}},
        "match": {"prompt_contains": "marathon"},
        "times": 2,
    }
    created = await client.post(url, json=assignment)
    assert (created.status_code, created.json()) == (201, {"id": "behaviour-1", "remaining": 2, **assignment})
    chat = f"{own.base_url}/chat/completions"
    assert (await client.post(chat, json=chat_body("run a marathon"))).status_code == 429
    assert (await client.post(chat, json=chat_body("learn the piano"))).status_code == 200
    assert [rule["remaining"] for rule in (await client.get(url)).json()["behaviours"]] == [1]
    await client.post(url, json={"behaviour": {"done": False}, "times": None})
    assert (await client.delete(f"{url}/behaviour-1")).json() == {"removed": 1}
    assert (await client.delete(f"{url}/behaviour-1")).status_code == 404
    assert (await client.delete(url)).json() == {"removed": 1}
    assert (await client.post(chat, json=chat_body("run a marathon"))).text.endswith("[DONE]\n\n")


async def test_a_wrong_assignment_is_refused(own: RunningEmulator, client: httpx.AsyncClient) -> None:
    """422 with the place of the error; nothing is put in force."""
    answer = await client.post(f"{own.control_url}/behaviours", json={"behaviour": {"usage": "none"}})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["loc"] == ["behaviour", "usage"]
    assert (await client.post(f"{own.control_url}/behaviours", content=b"{")).status_code == 422
    assert (await client.get(f"{own.control_url}/behaviours")).json() == {"behaviours": []}


async def test_stats_and_reset(own: RunningEmulator, client: httpx.AsyncClient) -> None:
    """Every response is counted once, under what became of it; a reset zeroes all."""
    chat = f"{own.base_url}/chat/completions"
    for behaviour in ({"length_after_tokens": 3}, {"eof_after_tokens": 2}, {"http_error": {"status": 500}}):
        await client.post(f"{own.control_url}/behaviours", json={"behaviour": behaviour})
    first = await client.post(chat, json=chat_body("hello", session_id="plan-1"))
    await client.post(chat, json=chat_body("hello"))
    await client.post(chat, json=chat_body("hello"))
    await client.post(chat, json={**chat_body("hello"), "stream": False})
    stats = (await client.get(f"{own.control_url}/stats")).json()
    counters = {name: value for name, value in stats.items() if name not in ("generations", "tokens_served")}
    assert counters == {
        "requests": 4,
        "streams": 2,
        "active_streams": 0,
        "completed": 2,
        "failed": 1,
        "aborted": 0,
        "rejected": 1,
    }
    generation = stats["generations"][first.headers["x-generation-id"]]
    assert (generation["tokens"], generation["outcome"], generation["session_id"]) == (3, "completed", "plan-1")
    await client.post(f"{own.control_url}/behaviours", json={})
    await client.post(f"{own.control_url}/reset")
    stats = (await client.get(f"{own.control_url}/stats")).json()
    assert stats.pop("generations") == {}
    assert set(stats.values()) == {0}
    assert (await client.get(f"{own.control_url}/requests")).json() == {"requests": []}
    assert (await client.get(f"{own.control_url}/behaviours")).json() == {"behaviours": []}


async def test_requests_are_recorded(own: RunningEmulator, client: httpx.AsyncClient) -> None:
    """Body, prompt and headers, the newest first; no key; refused ones too."""
    chat = f"{own.base_url}/chat/completions"
    for prompt in ("one", "two", "three"):
        answer = await client.post(chat, json=chat_body(prompt, session_id=f"s-{prompt}"))
    refused = await client.post(chat, json={"messages": []})
    assert refused.status_code == 400
    shown = await client.get(f"{own.control_url}/requests", params={"limit": 3})
    newest, third, second = shown.json()["requests"]
    assert (newest["status"], newest["prompt"], newest["generation_id"]) == (400, None, None)
    assert (third["prompt"], second["prompt"]) == ("three", "two")
    assert third["body"] == chat_body("three", session_id="s-three")
    assert (third["session_id"], third["generation_id"]) == ("s-three", answer.headers["x-generation-id"])
    assert third["headers"]["authorization"] == "redacted"
    assert "sk-or-v1-secret" not in shown.text


async def test_the_control_port_is_another_door(own: RunningEmulator, client: httpx.AsyncClient) -> None:
    """The control API is on its own port, and on the main one."""
    origin = own.base_url.removesuffix("/api/v1")
    assert not own.control_url.startswith(origin + "/")
    assert (await client.get(f"{own.control_url}/stats")).json() == (await client.get(f"{origin}/control/stats")).json()


async def test_an_emulator_in_a_thread(client: httpx.AsyncClient) -> None:
    """Serves while this loop is busy, and takes behaviours without HTTP."""
    async with running_emulator(Settings(ttft_seconds=0, tokens_per_second=1e6), in_thread=True) as emulator:
        emulator.behave(times=1, prompt_contains="x")
        chat = f"{emulator.base_url}/chat/completions"
        assert (await client.post(chat, json=chat_body("hello"))).text.endswith("[DONE]\n\n")
        assert emulator.stats()["completed"] == 1
        assert emulator.requests()[0].prompt == "hello"


async def test_open_streams_do_not_hold_up_the_end() -> None:
    """An embedded emulator closes at once, and its clients see the connection break."""
    async with running_emulator(Settings(ttft_seconds=60)) as emulator, httpx.AsyncClient() as client:
        chat, headers = f"{emulator.base_url}/chat/completions", {"Authorization": "Bearer x"}
        request = client.build_request("POST", chat, json=chat_body("hello"), headers=headers)
        response = await client.send(request, stream=True)
        start = time.monotonic()
        emulator_end = asyncio.create_task(_end_of(response))
        await asyncio.sleep(0)
    assert isinstance(await emulator_end, httpx.HTTPError)
    assert time.monotonic() - start < 1.5


async def _end_of(response: httpx.Response) -> Exception | None:
    try:
        await response.aread()
    except httpx.HTTPError as error:
        return error
    return None


async def test_sigterm_ends_the_process_at_once() -> None:
    """Also with an open stream; what it says on start names both addresses."""
    environment = {**os.environ, "EMULATOR_TTFT_SECONDS": "60", "EMULATOR_CONTROL_PORT": "0"}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "openrouter_emulator", "--port", "0", env=environment, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(10):
            words = (await process.stdout.readline()).decode().split()
        base_url, control_url = words[1], words[3].rstrip(")")
        async with httpx.AsyncClient(headers={"Authorization": "Bearer x"}) as client:
            request = client.build_request("POST", f"{base_url}/chat/completions", json=chat_body("hello"))
            response = await client.send(request, stream=True)
            assert (await client.get(f"{control_url}/stats")).json()["active_streams"] == 1
            process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(3):
                assert await process.wait() in (0, -signal.SIGTERM)
            assert await _end_of(response) is not None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@pytest.mark.parametrize("arguments", [["--port", "x"], ["--tokens-per-second", "0"], ["--nothing", "1"]])
async def test_wrong_settings_end_the_process(arguments: list[str]) -> None:
    """Status 2 and a message."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "openrouter_emulator", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _stdout, stderr = await process.communicate()
    assert process.returncode == 2
    assert arguments[0].removeprefix("--").replace("-", "_") in stderr.decode().replace("-", "_")
