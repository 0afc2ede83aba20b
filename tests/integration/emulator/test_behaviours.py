"""Each behaviour does what it says, seen from the socket."""

import asyncio
from collections.abc import Callable
from typing import Any

import orjson
import pytest

from openrouter_emulator import Settings, running_emulator

Ask = Any  # the `Asker` of conftest.py, which importlib mode does not let tests import

COMMENT = b": OPENROUTER PROCESSING"


async def until(condition: Callable[[], bool], seconds: float = 2.0) -> None:
    """Wait for a condition with a deadline."""
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_time_to_first_token_is_filled_with_comments(ask: Ask) -> None:
    """A comment at once and at every interval, the first token not before its time."""
    ask.behave({"ttft_seconds": 0.22, "comment_seconds": 0.05})
    answer = await ask()
    first_token = next(when for when, data in answer.reads if b"delta" in data)
    assert 0.2 <= first_token < 1.0
    assert answer.events[:5] == [COMMENT] * 5
    assert answer.events[5].startswith(b"data: ")


async def test_pace_is_kept_without_drift(ask: Ask) -> None:
    """80 gaps at 200 a second take 0.4 seconds, however the single gaps vary."""
    ask.behave({"tokens_per_second": 200, "jitter": 1, "content": "x" * 4 * 81, "comments": False})
    answer = await ask()
    tokens = [when for when, data in answer.reads if b'"xxxx"' in data]
    assert 0.3 <= tokens[-1] - tokens[0] <= 0.9
    assert len(tokens) > 40


async def test_comments_come_between_tokens(ask: Ask) -> None:
    """Also when a token takes longer than the interval; never inside an event."""
    ask.behave({"tokens_per_second": 8, "jitter": 0, "content": "x" * 12, "between_comment_seconds": 0.05})
    answer = await ask()
    assert answer.events[1:-4].count(COMMENT) >= 2
    assert answer.content == "x" * 12


async def test_no_comments(ask: Ask) -> None:
    """Silence before the first token."""
    ask.behave({"ttft_seconds": 0.12, "comments": False})
    assert COMMENT not in (await ask()).body


async def test_headers_can_be_late(ask: Ask) -> None:
    """Nothing at all before the headers' time."""
    ask.behave({"headers_delay_seconds": 0.15})
    assert (await ask()).reads[0][0] >= 0.14


async def test_drip(ask: Ask) -> None:
    """One byte a chunk, and still the whole answer."""
    ask.behave({"drip_seconds": 0, "content": "été"})
    answer = await ask()
    assert {len(chunk) for chunk in answer.chunks[:-1]} == {1}
    assert answer.content == "été"
    assert answer.body.endswith(b"data: [DONE]\n\n")


async def test_line_ends_and_spaces(ask: Ask) -> None:
    """CRLF and `data:` without a space, the JSON untouched."""
    ask.behave({"crlf": True, "space_after_data": False, "content": "data: x"})
    body = (await ask()).body
    assert body.count(b"\n") == body.count(b"\r\n")
    assert b"data: {" not in body
    assert b'"content":"data"' in body
    assert b'"content":": x"' in body
    assert body.endswith(b"data:[DONE]\r\n\r\n")


@pytest.mark.parametrize("comments", [True, False])
async def test_a_stall_goes_on_after_its_time(ask: Ask, comments: bool) -> None:
    """No tokens meanwhile, comments or silence, and then the rest."""
    ask.behave(
        {
            "stall_after_tokens": 2,
            "stall_seconds": 0.25,
            "stall_comments": comments,
            "content": "x" * 16,
            "between_comment_seconds": 60,
        }
    )
    answer = await ask()
    second = next(n for n, event in enumerate(answer.events) if b"xxxx" in event) + 1
    assert (COMMENT in answer.events[second + 1 : -4]) == comments
    assert answer.reads[-1][0] >= 0.24
    assert answer.content == "x" * 16


async def test_an_endless_stall(ask: Ask) -> None:
    """After k tokens only comments, until the client gives up."""
    ask.behave({"stall_after_tokens": 3})
    reader, writer = await ask.open()
    seen = b""
    async with asyncio.timeout(3):
        while seen.count(COMMENT) < 5:
            seen += await reader.read(65_536)
    assert seen.count(b'"delta"') == 3
    writer.close()


@pytest.mark.parametrize("framing", ["complete", "cut"])
async def test_eof_without_done(ask: Ask, framing: str) -> None:
    """k tokens, then the end, with or without the last HTTP chunk."""
    ask.behave({"eof_after_tokens": 5, "eof_framing": framing})
    answer = await ask()
    assert answer.error is None
    assert len(answer.documents) == 5
    assert b"[DONE]" not in answer.body
    assert answer.complete == (framing == "complete")


async def test_a_complete_answer_without_done(ask: Ask) -> None:
    """Finish and usage, but no [DONE]."""
    ask.behave({"done": False})
    answer = await ask()
    assert "usage" in answer.documents[-1]
    assert b"[DONE]" not in answer.body


async def test_reset_in_the_middle_of_a_chunk(ask: Ask) -> None:
    """k tokens, half an event, then RST."""
    ask.behave({"reset_after_tokens": 4})
    answer = await ask()
    assert isinstance(answer.error, ConnectionResetError)
    assert len(answer.documents) == 4
    assert not answer.complete
    tail = answer.raw.rpartition(b"\r\n")[2]
    assert tail.startswith(b"data: {")
    assert not tail.endswith(b"}")


@pytest.mark.parametrize(("status", "seconds"), [(429, 2), (503, 1), (402, 3)])
async def test_http_errors(ask: Ask, status: int, seconds: int) -> None:
    """Status, JSON body, Retry-After; the next request is ordinary again."""
    ask.behave({"http_error": {"status": status, "retry_after": seconds}})
    answer = await ask()
    assert (answer.status, answer.headers["retry-after"]) == (status, str(seconds))
    assert orjson.loads(answer.body)["error"]["code"] == status
    assert "x-generation-id" not in answer.headers
    assert (await ask()).status == 200


async def test_html_524(ask: Ask) -> None:
    """An edge page instead of JSON."""
    ask.behave({"http_error": {"status": 524}})
    answer = await ask()
    assert (answer.status, answer.headers["content-type"]) == (524, "text/html; charset=UTF-8")
    assert b"A timeout occurred" in answer.body


async def test_an_error_inside_200(ask: Ask) -> None:
    """After content, in the stream; alone, in a whole answer."""
    ask.behave({"stream_error": {"after_tokens": 2, "code": 502}}, times=2)
    streamed = await ask()
    assert (streamed.status, len(streamed.documents), streamed.complete) == (200, 3, True)
    assert streamed.documents[-1]["error"]["code"] == 502
    whole = orjson.loads((await ask(stream=False)).body)
    assert whole["choices"][0]["error"]["code"] == 502


async def test_a_fallback_model_answers(ask: Ask) -> None:
    """`model` names the one used."""
    ask.behave({"model_index": 1, "provider": "Google"})
    answer = await ask(models=["openai/gpt-4.1-mini", "google/gemini-2.5-flash"])
    assert {(d["model"], d["provider"]) for d in answer.documents} == {("google/gemini-2.5-flash", "Google")}


async def test_a_whole_answer_can_break_too(ask: Ask) -> None:
    """Reset and EOF in the middle of the document."""
    ask.behave({"reset_after_tokens": 1})
    assert isinstance((await ask(stream=False)).error, ConnectionResetError)
    ask.behave({"eof_after_tokens": 1})
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads((await ask(stream=False)).body)


@pytest.mark.parametrize(
    "behaviour",
    [
        {"tokens_per_second": 2, "jitter": 0, "comments": False},
        {"ttft_seconds": 60},
        {"stall_after_tokens": 1, "stall_comments": False},
        {"drip_seconds": 0.5},
    ],
)
async def test_a_client_that_leaves_is_noticed_at_once(ask: Ask, behaviour: dict[str, Any]) -> None:
    """Wherever the stream waits, it is aborted long before the next step is due, with the tokens served until then."""
    ask.behave(behaviour)
    reader, writer = await ask.open()
    head = await reader.readuntil(b"\r\n\r\n")
    generation_id = head.partition(b"x-generation-id: ")[2].partition(b"\r\n")[0].decode()
    generation = ask.emulator.state.ledger.generation(generation_id)
    assert generation is not None
    assert generation.outcome == "running"
    before = ask.emulator.stats()
    writer.close()
    await until(lambda: generation.outcome == "aborted", seconds=0.3)
    after = ask.emulator.stats()
    assert after["aborted"] == before["aborted"] + 1
    assert after["active_streams"] == before["active_streams"] - 1
    assert generation.served_tokens <= 1
    record = orjson.loads((await ask.get(f"/generation?id={generation_id}")).body)["data"]
    assert (record["cancelled"], record["tokens_completion"]) == (True, generation.served_tokens)


async def test_a_provider_that_cannot_cancel_bills_everything(ask: Ask) -> None:
    """The record of an aborted generation then counts the whole answer."""
    ask.behave({"stall_after_tokens": 2, "provider": "Groq"})
    reader, writer = await ask.open()
    head = await reader.readuntil(b"\r\n\r\n")
    generation_id = head.partition(b"x-generation-id: ")[2].partition(b"\r\n")[0].decode()
    writer.close()
    generation = ask.emulator.state.ledger.generation(generation_id)
    await until(lambda: generation.outcome == "aborted")
    record = orjson.loads((await ask.get(f"/generation?id={generation_id}")).body)["data"]
    assert record["tokens_completion"] == generation.total_tokens > 2


async def test_a_client_that_leaves_before_the_headers_is_noticed(ask: Ask) -> None:
    """Also a rejection that is late ends without a response."""
    ask.behave({"headers_delay_seconds": 60})
    before = ask.emulator.stats()
    _reader, writer = await ask.open()
    await until(lambda: ask.emulator.stats()["requests"] > before["requests"])
    writer.close()
    await until(lambda: ask.emulator.stats()["aborted"] == before["aborted"] + 1)


async def test_a_slow_reader_does_not_stop_the_others(ask: Ask) -> None:
    """Back-pressure holds one stream, not the server."""
    ask.behave({"content": "x" * 400_000})
    _reader, writer = await ask.open()
    assert (await ask()).complete
    writer.close()


async def test_a_write_interval_joins_tokens(ask: Ask) -> None:
    """Fewer writes at the same pace."""
    settings = Settings(ttft_seconds=0, tokens_per_second=100, jitter=0, write_interval_seconds=0.1)
    async with running_emulator(settings) as emulator:
        asker = type(ask)(emulator)
        asker.behave({"content": "x" * 200})
        answer = await asker()
    assert answer.content == "x" * 200
    assert 0.4 <= answer.reads[-1][0] < 2.0
    assert len(answer.chunks) <= 10
