"""Scripts hold the recorded shapes, in the recorded order."""

from typing import Any

import orjson
import pytest

from openrouter_emulator import wire
from openrouter_emulator.behaviours import Behaviour, StreamError
from openrouter_emulator.script import Answer, End, Say, Wait, stream_script, whole_script

ENVELOPE = wire.Envelope("gen-1786465029-CAkq", 1786465029, "openai/gpt-4.1-mini", "OpenAI")
ENVELOPE_JSON = (
    '{"id":"gen-1786465029-CAkq","object":"chat.completion.chunk","created":1786465029,'
    '"model":"openai/gpt-4.1-mini","provider":"OpenAI"'
)


def answer(text: str = '{"steps":[1]}', max_tokens: int | None = None, hides_reasoning: bool = False) -> Answer:
    """An answer of four-character tokens."""
    return Answer(ENVELOPE, text, 15, max_tokens, 4, hides_reasoning, ttft_seconds=0.0, tokens_per_second=100.0)


def stream_text(behaviour: Behaviour, given: Answer | None = None) -> str:
    """All bytes of a stream, without waiting."""
    steps = stream_script(given or answer(), behaviour)
    parts = [s if isinstance(s, bytes) else s.data for s in steps if not isinstance(s, Wait)]
    return b"".join(parts).decode()


def documents(behaviour: Behaviour, given: Answer | None = None) -> list[dict[str, Any]]:
    """The parsed data events but [DONE]."""
    events = stream_text(behaviour, given).split("\n\n")
    return [orjson.loads(event.removeprefix("data: ")) for event in events if event.startswith("data: {")]


def test_a_stream_is_byte_for_byte_as_recorded() -> None:
    """Deltas with the role on each, the finish, the accounting chunk that repeats it, [DONE]."""
    choice = (
        '"choices":[{"index":0,"delta":{"content":%s,"role":"assistant"},"finish_reason":%s,"native_finish_reason":%s}]'
    )
    delta = ENVELOPE_JSON + "," + choice % ("%s", "null", "null") + "}"
    finish = choice % ('""', '"stop"', '"completed"')
    usage = orjson.dumps(wire.usage_member(15, 2, 0)).decode()
    expected = [
        delta % '"{\\"st"',
        delta % '"é1"',
        f"{ENVELOPE_JSON},{finish}}}",
        f'{ENVELOPE_JSON},"service_tier":"default",{finish},"usage":{usage}}}',
        "[DONE]",
    ]
    assert stream_text(Behaviour(), answer('{"sté1')) == "".join(f"data: {event}\n\n" for event in expected)


def test_usage_has_the_recorded_members() -> None:
    """The fact sheet's object, member for member."""
    assert wire.usage_member(15, 9, 0) == {
        "prompt_tokens": 15,
        "completion_tokens": 9,
        "total_tokens": 24,
        "cost": 0.0000204,
        "is_byok": False,
        "prompt_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0, "audio_tokens": 0, "video_tokens": 0},
        "cost_details": {
            "upstream_inference_cost": 0.0000204,
            "upstream_inference_prompt_cost": 0.000006,
            "upstream_inference_completions_cost": 0.0000144,
        },
        "completion_tokens_details": {"reasoning_tokens": 0, "image_tokens": 0, "audio_tokens": 0},
    }


@pytest.mark.parametrize(
    ("shape", "choices"),
    [
        ("repeat_finish", [("stop", "completed")]),
        ("null_finish", [(None, None)]),
        ("empty_choices", []),
        ("none", None),
    ],
)
def test_usage_shapes(shape: Any, choices: list[tuple[str, str]] | None) -> None:
    """The three historical shapes, and none at all."""
    *_deltas, last = documents(Behaviour(usage_shape=shape))
    assert ("usage" in last) == (choices is not None)
    if choices is not None:
        assert [(c["finish_reason"], c["native_finish_reason"]) for c in last["choices"]] == choices
        assert all(c["delta"] == {"content": "", "role": "assistant"} for c in last["choices"])


@pytest.mark.parametrize("after", [0, 2])
@pytest.mark.parametrize(
    ("shape", "choices", "has_id", "done"),
    [
        ("finish_error", [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}], True, False),
        ("empty_choices", [], True, False),
        ("no_choices", None, False, False),
        (
            "after_length",
            [
                {
                    "index": 0,
                    "delta": {"content": "", "role": "assistant"},
                    "finish_reason": None,
                    "native_finish_reason": None,
                }
            ],
            True,
            True,
        ),
    ],
)
def test_error_shapes(shape: Any, choices: Any, has_id: bool, done: bool, after: int) -> None:
    """Each shape, as the first data event and after content."""
    error = StreamError(shape=shape, after_tokens=after, code=429, message="Rate limit exceeded")
    *before, last = documents(Behaviour(stream_error=error))
    assert len(before) == after + (shape == "after_length")
    assert last["error"] == {
        "code": 429,
        "message": "Rate limit exceeded",
        "metadata": {"error_type": "provider_unavailable"},
    }
    assert last.get("choices") == choices
    assert ("id" in last, "usage" in last, "user_id" in last) == (
        has_id,
        shape == "after_length",
        shape == "no_choices",
    )
    assert stream_text(Behaviour(stream_error=error)).endswith("data: [DONE]\n\n") == done
    if shape == "after_length":
        assert before[-1]["choices"][0]["finish_reason"] == "length"


def test_an_error_on_the_choice_and_a_done_after_it() -> None:
    """The declared fifth shape; [DONE] on request."""
    error = StreamError(shape="choice_level", code="server_error", error_type=None, done=True)
    (only,) = documents(Behaviour(stream_error=error))
    assert "error" not in only
    assert only["choices"][0]["error"] == {"code": "server_error", "message": "Provider returned error"}
    assert only["choices"][0]["finish_reason"] == "error"
    assert stream_text(Behaviour(stream_error=error)).endswith("[DONE]\n\n")


@pytest.mark.parametrize(
    ("max_tokens", "limit", "served"), [(2, None, 2), (None, 3, 3), (3, 2, 2), (100, None, None), (None, 0, 0)]
)
def test_length(max_tokens: int | None, limit: int | None, served: int | None) -> None:
    """The request's own limit and the behaviour's cut the text, and the finish says so."""
    given = answer(max_tokens=max_tokens)
    *_rest, finish, last = documents(Behaviour(length_after_tokens=limit), given)
    content = "".join(
        d["choices"][0]["delta"]["content"] for d in documents(Behaviour(length_after_tokens=limit), given)
    )
    assert content == (given.text if served is None else given.text[: served * 4])
    reason = "stop" if served is None else "length"
    assert finish["choices"][0]["finish_reason"] == last["choices"][0]["finish_reason"] == reason
    assert last["usage"]["completion_tokens"] == (4 if served is None else served)


def test_reasoning_comes_first_and_counts() -> None:
    """Reasoning deltas before the content, in the recorded form, within the token budget."""
    behaviour = Behaviour(reasoning_tokens=2)
    first, second, third, *_rest = documents(behaviour)
    assert first["choices"][0]["delta"] == {
        "content": "",
        "role": "assistant",
        "reasoning": "We ",
        "reasoning_details": [{"type": "reasoning.text", "text": "We ", "format": "anthropic-claude-v1", "index": 0}],
    }
    assert second["choices"][0]["delta"]["reasoning"] == "need "
    assert third["choices"][0]["delta"]["content"] == '{"st'
    starved = documents(behaviour, answer(max_tokens=2))
    assert "".join(d["choices"][0]["delta"]["content"] for d in starved) == ""
    assert starved[-1]["choices"][0]["finish_reason"] == "length"
    assert starved[-1]["usage"]["completion_tokens_details"]["reasoning_tokens"] == 2


def test_hidden_and_encrypted_reasoning() -> None:
    """`reasoning.exclude` sends nothing; encrypted reasoning is one long line."""
    assert documents(Behaviour(reasoning_tokens=3), answer(hides_reasoning=True))[0]["choices"][0]["delta"]["content"]
    first, *_rest = documents(Behaviour(reasoning_tokens=3, reasoning_kind="encrypted", encrypted_chars=200_000))
    (details,) = first["choices"][0]["delta"]["reasoning_details"]
    assert first["choices"][0]["delta"]["reasoning"] is None
    assert details["type"] == "reasoning.encrypted"
    assert len(details["data"]) > 200_000


def test_a_refusal() -> None:
    """Refusal deltas without content, then content_filter."""
    *deltas, finish, _usage = documents(Behaviour(refusal="I cannot help with that."))
    assert "".join(d["choices"][0]["delta"]["refusal"] for d in deltas) == "I cannot help with that."
    assert {d["choices"][0]["delta"]["content"] for d in deltas} == {""}
    assert finish["choices"][0]["finish_reason"] == "content_filter"


def test_odd_chunks_follow_the_first_token() -> None:
    """Each odd chunk is one event of its own form."""
    kinds = ["choices_empty", "choices_null", "choices_missing", "content_null", "content_empty", "delta_null"]
    _first, empty, null, missing, no_content, empty_content, no_delta, *_rest = documents(
        Behaviour.model_validate({"odd_chunks": kinds})
    )
    assert (empty["choices"], null["choices"], "choices" in missing) == ([], None, False)
    assert no_content["choices"][0]["delta"]["content"] is None
    assert empty_content["choices"][0]["delta"]["content"] == ""
    assert no_delta["choices"][0]["delta"] is None


def test_stalls_stand_where_they_should() -> None:
    """Before the first token, between tokens, and after the last one."""
    for after in (0, 2, 4):
        steps = list(stream_script(answer(), Behaviour(stall_after_tokens=after, stall_comments=False)))
        assert steps.index(Wait(None, b"")) == after + 1


def test_endings_that_break_off() -> None:
    """EOF and reset come after their tokens, without a finish chunk."""
    *tokens, end = stream_script(answer(), Behaviour(eof_after_tokens=3, eof_framing="cut"))
    assert len(tokens) == 1 + 3
    assert end == End(b"", "cut", failed=True, tokens=3)
    *tokens, end = stream_script(answer(), Behaviour(reset_after_tokens=1))
    assert isinstance(end, End)
    assert (len(tokens), end.how, end.failed) == (1 + 1, "reset", True)
    assert end.data.startswith(b"data: {")


def whole(behaviour: Behaviour, given: Answer | None = None) -> dict[str, Any]:
    """The document of a non-streaming answer."""
    *_before, end = whole_script(given or answer(), behaviour)
    assert isinstance(end, End)
    document: dict[str, Any] = orjson.loads(end.data)
    return document


def test_a_whole_answer_has_the_recorded_members() -> None:
    """The fact sheet's document, in its order."""
    document = whole(Behaviour())
    assert list(document) == [
        *("id", "object", "created", "model", "provider", "system_fingerprint", "service_tier", "choices", "usage")
    ]
    assert document["object"] == "chat.completion"
    assert document["choices"] == [
        {
            "index": 0,
            "logprobs": None,
            "finish_reason": "stop",
            "native_finish_reason": "completed",
            "message": {"role": "assistant", "content": '{"steps":[1]}', "refusal": None, "reasoning": None},
        }
    ]


def test_a_whole_answer_can_go_wrong() -> None:
    """Error alone, error beside partial content, no choices, truncation, refusal."""
    assert list(whole(Behaviour(stream_error=StreamError()))) == ["error", "user_id"]
    partial = whole(Behaviour(stream_error=StreamError(after_tokens=2)))["choices"][0]
    assert (partial["message"]["content"], partial["finish_reason"], partial["error"]["code"]) == (
        '{"steps"',
        "error",
        502,
    )
    assert whole(Behaviour(choices="null"))["choices"] is None
    assert whole(Behaviour(choices="empty"))["choices"] == []
    assert "choices" not in whole(Behaviour(choices="missing"))
    cut = whole(Behaviour(), answer(max_tokens=1))["choices"][0]
    assert (cut["message"]["content"], cut["finish_reason"]) == ('{"st', "length")
    refused = whole(Behaviour(refusal="No."))["choices"][0]
    assert (refused["message"]["refusal"], refused["finish_reason"]) == ("No.", "content_filter")


def test_a_whole_answer_waits_as_long_as_its_tokens_take() -> None:
    """White space before and while waiting; the wait follows the pace."""
    first, *waits, _end = whole_script(answer(), Behaviour(leading_whitespace=2))
    assert first == Say(b"\n         \n" * 2)
    assert waits == [Wait(0.0, wire.WHITESPACE), Wait(0.04, wire.WHITESPACE)]
