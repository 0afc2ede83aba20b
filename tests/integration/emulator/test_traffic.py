"""Raw bytes off a real socket have the recorded form."""

import re
from typing import Any

import orjson
import pytest

from common.contracts.plan import provider_schema, validate_plan

Ask = Any  # the `Asker` of conftest.py, which importlib mode does not let tests import

PROMPT = 'Plan. <inputs>{"goals":["Run"],"weeks":4}</inputs><task>{"summary":true,"weeks":[1,2,3,4]}</task>'
RESPONSE_FORMAT = {"type": "json_schema", "json_schema": {"name": "plan", "strict": True, "schema": provider_schema()}}


async def test_headers_of_a_stream(ask: Ask) -> None:
    """Content type without charset, chunked, the generation's id, exposed headers, no server of ours."""
    answer = await ask()
    assert answer.head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.headers["content-type"] == "text/event-stream"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["transfer-encoding"] == "chunked"
    assert re.fullmatch(r"gen-\d{10}-[A-Za-z0-9]{20}", answer.headers["x-generation-id"])
    assert answer.headers["access-control-expose-headers"] == "X-Generation-Id,X-Provider-Name,cf-ray"
    assert "cf-ray" in answer.headers
    assert "uvicorn" not in answer.head.decode()


async def test_framing_of_a_stream(ask: Ask) -> None:
    """A comment first, then `data: ` lines with LF and blank lines, [DONE] last, the HTTP body complete."""
    ask.behave({"ttft_seconds": 0.01})
    answer = await ask()
    assert answer.complete
    assert b"\r" not in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")
    assert answer.events[0] == b": OPENROUTER PROCESSING"
    assert all(re.fullmatch(rb": OPENROUTER PROCESSING|data: [^\n]+", event) for event in answer.events)
    envelopes = {(d["id"], d["object"], d["created"], d["model"], d["provider"]) for d in answer.documents}
    ((generation_id, kind, created, model, provider),) = envelopes
    assert generation_id == answer.headers["x-generation-id"]
    assert generation_id.split("-")[1] == str(created)
    assert (kind, model, provider) == ("chat.completion.chunk", "openai/gpt-4.1-mini", "OpenAI")


async def test_a_streamed_plan_is_a_plan(ask: Ask) -> None:
    """Four-character tokens that join to a valid plan; usage counts them."""
    answer = await ask(PROMPT, response_format=RESPONSE_FORMAT)
    *deltas, finish, usage = answer.documents
    assert {len(d["choices"][0]["delta"]["content"]) for d in deltas[:-1]} == {4}
    validate_plan(orjson.loads(answer.content), 4)
    assert finish["choices"][0]["finish_reason"] == usage["choices"][0]["finish_reason"] == "stop"
    assert usage["usage"]["completion_tokens"] == len(deltas)


async def test_a_continuation_brings_what_was_asked_for(ask: Ask) -> None:
    """The task block of the last message decides."""
    prompt = PROMPT.replace("true", "false").replace("[1,2,3,4]", "[3,4]")
    document = orjson.loads((await ask(prompt, response_format=RESPONSE_FORMAT)).content)
    assert list(document) == ["weekly_breakdown"]
    assert [week["week"] for week in document["weekly_breakdown"]] == [3, 4]


async def test_a_whole_answer(ask: Ask) -> None:
    """White space first, then the document; the same text as streamed."""
    ask.behave({"ttft_seconds": 0.12})
    answer = await ask(PROMPT, stream=False)
    assert answer.headers["content-type"] == "application/json"
    assert answer.body.startswith(b"\n         \n" * 2)
    document = orjson.loads(answer.body)
    assert document["object"] == "chat.completion"
    assert document["id"] == answer.headers["x-generation-id"]
    streamed = await ask(PROMPT)
    assert document["choices"][0]["message"]["content"] == streamed.content


async def test_connections_are_kept_alive(ask: Ask) -> None:
    """A second request on the same connection is answered."""
    reader, writer = await ask.open(headers={"Connection": "keep-alive"})
    await reader.readuntil(b"[DONE]\n\n\r\n0\r\n\r\n")
    writer.write(b"GET /api/v1/models HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert (await ask.read(reader, writer)).status == 200


@pytest.mark.parametrize("value", ["", "Basic abc", "Bearer ", "Bearer"])
async def test_a_bearer_token_is_required(ask: Ask, value: str) -> None:
    """The recorded 401, without a generation id."""
    answer = await ask(headers={"Authorization": value})
    assert answer.status == 401
    assert orjson.loads(answer.body) == {"error": {"message": "Missing Authentication header", "code": 401}}
    assert "x-generation-id" not in answer.headers


async def test_refused_requests(ask: Ask) -> None:
    """What breaks a rule is a JSON 400, bad JSON too; too much is a 413."""
    too_many = await ask(models=["a/a", "b/b", "c/c", "d/d"])
    assert too_many.status == 400
    assert orjson.loads(too_many.body)["error"] == {
        "message": "'models' array must have 3 items or fewer.",
        "code": 400,
    }
    bad = await ask.read(*await ask.send("POST", "/chat/completions", b"{oops"))
    assert (bad.status, orjson.loads(bad.body)["error"]["code"]) == (400, 400)
    large = await ask("x" * 9_000_000)
    assert (large.status, orjson.loads(large.body)["error"]["code"]) == (413, 413)


async def test_unknown_paths_and_methods_are_json(ask: Ask) -> None:
    """No HTML, no plain text."""
    for path, status in (("/nothing", 404), ("/chat/completions", 405)):
        answer = await ask.get(path)
        assert answer.status == status
        assert orjson.loads(answer.body)["error"]["code"] == status


async def test_generation_records(ask: Ask) -> None:
    """404 until it is booked, then what was served; 401 without a key."""
    ask.behave({"generation_delay_seconds": 3600})
    late = (await ask()).headers["x-generation-id"]
    missing = await ask.get(f"/generation?id={late}")
    assert (missing.status, orjson.loads(missing.body)["error"]["code"]) == (404, 404)
    streamed = await ask(user="hash-1")
    found = await ask.get(f"/generation?id={streamed.headers['x-generation-id']}")
    record = orjson.loads(found.body)["data"]
    usage = streamed.documents[-1]["usage"]
    assert record["id"] == streamed.headers["x-generation-id"]
    assert (record["streamed"], record["cancelled"], record["finish_reason"]) == (True, False, "stop")
    assert record["tokens_completion"] == record["native_tokens_completion"] == usage["completion_tokens"]
    assert record["total_cost"] == usage["cost"]
    assert (record["session_id"], record["external_user"]) == (ask.session_id, "hash-1")
    assert (await ask.get("/generation?id=x", headers={"Authorization": ""})).status == 401


async def test_models_and_key(ask: Ask) -> None:
    """The members a client reads."""
    models = orjson.loads((await ask.get("/models", headers={"Authorization": ""})).body)["data"]
    assert "openai/gpt-4.1-mini" in {model["id"] for model in models}
    assert all({"response_format", "structured_outputs"} <= set(model["supported_parameters"]) for model in models)
    key = orjson.loads((await ask.get("/key")).body)["data"]
    assert {"label", "limit", "limit_remaining", "usage", "is_free_tier"} <= set(key)
    assert (await ask.get("/key", headers={"Authorization": ""})).status == 401
