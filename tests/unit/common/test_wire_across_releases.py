"""Old and new processes side by side: what a release said is read by every later one, and the other way round.

`golden/wire-v1.json` holds each message between the processes as the first release writes it. It is never changed: a
message may get members, and what is there keeps its name, its type and its meaning.
"""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from common.bodies import parse_model
from common.contracts import events, internal, messages
from common.contracts.base import Envelope
from common.contracts.inputs import Preferences
from common.problems import ApiError
from stream_gateway.plan_event import read_event

GOLDEN: dict[str, dict[str, Any]] = json.loads((Path(__file__).parent / "golden" / "wire-v1.json").read_text())
MODELS: dict[str, type[BaseModel]] = {
    name: model
    for module in (messages, internal, events)
    for name, model in vars(module).items()
    if isinstance(model, type) and issubclass(model, BaseModel) and model.__module__ == module.__name__
}
# What no process says to another as a whole: parts of the others, and what a client says.
NOT_BETWEEN_PROCESSES = {"Progress", "Usage", "Numbered", "Connected", "StartRequest", "SyncRequest"}
PLAN_EVENTS = ("Snapshot", "ProgressEvent", "Complete", "Cancelled", "Failed")


def test_every_message_has_its_golden_form() -> None:
    """A new one gets its own when it is first released."""
    assert set(GOLDEN) == set(MODELS) - NOT_BETWEEN_PROCESSES


def said(name: str, message: dict[str, Any]) -> dict[str, Any]:
    """What this release writes of a message that it has read."""
    read = parse_model(json.dumps(message).encode(), MODELS[name])
    written: dict[str, Any] = json.loads(read.model_dump_json(by_alias=True))
    return written


@pytest.mark.parametrize("name", GOLDEN)
def test_what_the_first_release_says_is_understood(name: str) -> None:
    """New reader, old writer: all of it arrives. New writer, old reader: nothing that it reads is gone or renamed."""
    message = GOLDEN[name]
    assert contains(said(name, message), message)


@pytest.mark.parametrize("name", GOLDEN)
def test_what_a_later_release_says_beside_is_skipped(name: str) -> None:
    """Old reader, new writer: a member that is not known here changes nothing, wherever it stands."""
    assert said(name, with_more(GOLDEN[name])) == said(name, GOLDEN[name])


@pytest.mark.parametrize("name", PLAN_EVENTS)
def test_events_are_read_by_a_gateway_of_another_release(name: str) -> None:
    """The gateway's own reader, which builds no model: with more members as well; other events are skipped."""
    message = GOLDEN[name]
    for form in (message, with_more(message)):
        event = read_event(json.dumps(form).encode(), message["planId"])
        assert event is not None
        assert (event.name, event.at.attempt, event.at.seq) == (
            message["event"],
            message["attempt"],
            message["seq"],
        )
    assert read_event(json.dumps(message | {"event": "later"}).encode(), message["planId"]) is None


def test_stored_inputs_of_a_later_release_are_read() -> None:
    """A row of a newer plan-api is read by an older one; what a client may not say is still refused."""
    stored = with_more(GOLDEN["GenerateJob"]["preferences"])
    assert Preferences.model_validate(stored, extra="ignore").goals == "Run"
    with pytest.raises(ApiError):
        parse_model(json.dumps(stored).encode(), Preferences)


def test_between_processes_nothing_forbids_a_member() -> None:
    """A model that says `forbid` would refuse what its own next release says; see `parse_model`."""
    forbidding = {name for name in GOLDEN if MODELS[name].model_config.get("extra") != "ignore"}
    assert forbidding == set()
    assert issubclass(MODELS["PlanQuery"], Envelope)


def contains(whole: Any, part: Any) -> bool:
    """Whether all members of `part`, at every level, are in `whole` with the same values."""
    match part:
        case dict():
            return isinstance(whole, dict) and all(key in whole and contains(whole[key], part[key]) for key in part)
        case list():
            return len(whole) == len(part) and all(map(contains, whole, part))
        case _:
            return bool(whole == part)


# Their members are names of their own, not members of a message.
_FREE: Callable[[str], bool] = frozenset({"plan", "ops", "availableHours"}).__contains__


def with_more(message: dict[str, Any]) -> dict[str, Any]:
    """The message with an unknown member at every level."""
    more = deepcopy(message)
    more["later"] = {"release": 2}
    for key, value in message.items():
        if _FREE(key):
            continue
        if isinstance(value, dict):
            more[key] = with_more(value)
        elif isinstance(value, list):
            more[key] = [with_more(item) if isinstance(item, dict) else item for item in value]
    return more
