"""Behaviours are validated and assigned; settings are read; HTTP errors have their bodies."""

from collections.abc import Callable
from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from openrouter_emulator.behaviours import Assignment, Behaviour, HttpError, Match
from openrouter_emulator.chat_request import ChatRequest
from openrouter_emulator.http_errors import error_answer
from openrouter_emulator.rulebook import ORDINARY, RuleBook
from openrouter_emulator.settings import Settings, read_settings

MakeRequest = Callable[..., ChatRequest]


@pytest.mark.parametrize(
    "behaviour",
    [
        {"tokens_per_secnd": 1},
        {"tokens_per_second": 0},
        {"jitter": 2},
        {"usage_shape": "new"},
        {"http_error": {"status": 200}},
        {"eof_after_tokens": 1, "reset_after_tokens": 2},
        {"http_error": {"status": 500}, "length_after_tokens": 2},
    ],
)
def test_a_wrong_behaviour_is_refused(behaviour: dict[str, Any]) -> None:
    """Unknown fields, values out of range, and two endings at once."""
    with pytest.raises(ValidationError):
        Behaviour.model_validate(behaviour)


def test_behaviours_are_used_up_in_order(make_request: MakeRequest) -> None:
    """Each for its times, the oldest first; then the ordinary one."""
    rules = RuleBook()
    first, second = Behaviour(jitter=0.1), Behaviour(jitter=0.2)
    rules.add(Assignment(behaviour=first, times=2))
    rules.add(Assignment(behaviour=second))
    taken = [rules.take(make_request()) for _ in range(4)]
    assert taken == [first, first, second, ORDINARY]


@pytest.mark.parametrize(
    ("match", "fits"),
    [
        ({}, True),
        ({"prompt_contains": "marathon"}, True),
        ({"prompt_contains": "piano"}, False),
        ({"session_id": "plan-1"}, True),
        ({"session_id": "plan-2"}, False),
        ({"stream": True}, True),
        ({"stream": False}, False),
        ({"model": "a/a"}, True),
        ({"model": "b/b", "stream": True}, False),
    ],
)
def test_a_behaviour_is_for_what_it_matches(make_request: MakeRequest, match: dict[str, Any], fits: bool) -> None:
    """Each condition on its own, and all together."""
    rules = RuleBook()
    rules.add(Assignment(behaviour=Behaviour(crlf=True), match=Match(**match)))
    request = make_request("run a marathon", session_id="plan-1", stream=True, model="a/a")
    assert rules.take(request).crlf == fits
    assert len(rules.rules()) == (0 if fits else 1)


def test_rules_can_be_removed(make_request: MakeRequest) -> None:
    """One by its id, or all."""
    rules = RuleBook()
    kept = rules.add(Assignment(times=None))
    assert rules.remove(rules.add(Assignment()).id)
    assert not rules.remove("behaviour-99")
    assert rules.take(make_request()) == Behaviour()
    assert rules.rules() == [kept]
    assert (rules.clear(), rules.rules()) == (1, [])


def test_the_command_line_beats_the_environment() -> None:
    """Options, then EMULATOR_*, then defaults; an empty variable is none."""
    environment = {"EMULATOR_PORT": "1111", "EMULATOR_TTFT_SECONDS": "1.5", "EMULATOR_SEED": "", "PORT": "5"}
    settings = read_settings(["--port", "2222", "--tokens-per-second", "10"], environment)
    assert settings == Settings(port=2222, ttft_seconds=1.5, tokens_per_second=10)


def test_help_names_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    """`--help` is complete."""
    with pytest.raises(SystemExit):
        read_settings(["--help"], {})
    shown = capsys.readouterr().out
    assert all("--" + name.replace("_", "-") in shown for name in Settings.model_fields)


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422, 429, 500, 502, 503, 504, 529, 599])
def test_an_http_error_is_json_with_its_status_as_code(status: int) -> None:
    """Every status has a message; the code equals the status."""
    answer = error_answer(HttpError(status=status))
    error = orjson.loads(answer.body)["error"]
    assert (answer.status, error["code"]) == (status, status)
    assert error["message"]
    assert dict(answer.headers)[b"content-type"] == b"application/json"


def test_an_http_error_can_be_made_to_measure() -> None:
    """Variant, Retry-After, headers, message, metadata, body."""
    limited = error_answer(HttpError(status=429, variant="own_rate_limit", retry_after=7, headers={"X-A": "b"}))
    assert {b"retry-after": b"7", b"x-a": b"b", b"x-ratelimit-remaining": b"0"}.items() <= dict(limited.headers).items()
    in_flight = orjson.loads(error_answer(HttpError(status=402, variant="in_flight_budget")).body)["error"]
    assert in_flight["metadata"]["limit_source"] == "openrouter_in_flight_budget"
    own = orjson.loads(error_answer(HttpError(status=400, message="m", metadata={"a": 1})).body)["error"]
    assert own == {"message": "m", "code": 400, "metadata": {"a": 1}}
    assert error_answer(HttpError(status=500, body="oops")).body == b"oops"


def test_524_is_html() -> None:
    """The edge's timeout page is not JSON."""
    answer = error_answer(HttpError(status=524))
    assert dict(answer.headers)[b"content-type"].startswith(b"text/html")
    assert answer.body.startswith(b"<!DOCTYPE html>")
