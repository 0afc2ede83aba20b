"""The AsyncAPI 3.0 document: every NATS subject and what travels on it, from the wire models. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from common.contracts import subjects
from common.contracts.events import Cancelled, Complete, Failed, ProgressEvent, Snapshot
from common.contracts.messages import ControlReply, ControlRequest, GenerateJob, Outcome, ViewersReply

VERSION: Final = "1.0.0"
_ANY: Final = UUID(int=0)
_EVENTS: Final[tuple[type[BaseModel], ...]] = (Snapshot, ProgressEvent, Complete, Cancelled, Failed)
_ENDS: Final[tuple[type[BaseModel], ...]] = (Snapshot, Complete, Cancelled, Failed)


@dataclass(frozen=True, slots=True)
class Channel:
    """A subject: who sends what to whom, and what is answered."""

    name: str
    address: str
    about: str
    messages: tuple[type[BaseModel], ...]
    replies: tuple[type[BaseModel], ...] = ()
    over: Literal["core", "jetstream"] = "core"


def _address(subject: str) -> str:
    return subject.replace(str(_ANY), "{planId}")


CHANNELS: Final = (
    Channel(
        "jobs",
        subjects.JOBS_SUBJECT,
        f"plan-api to one generator: write this plan. Work queue {subjects.JOBS_STREAM}, Nats-Msg-Id <planId>.<n>.",
        (GenerateJob,),
        over="jetstream",
    ),
    Channel(
        "outcomes",
        _address(subjects.outcome(_ANY)),
        f"Generator to plan-api, after it is stored: how a plan ended. Stream {subjects.OUTCOMES_STREAM}.",
        (Outcome,),
        over="jetstream",
    ),
    Channel(
        "events",
        _address(subjects.events(_ANY)),
        "The owner to all gateways with viewers: the numbered events of the attempt. `event` is the first member.",
        _EVENTS,
    ),
    Channel(
        "state",
        _address(subjects.state(_ANY)),
        "A gateway to the owner, with an empty message: how does it stand? Once stored, the terminal event.",
        (),
        _ENDS,
    ),
    Channel(
        "control",
        _address(subjects.control(_ANY)),
        "A gateway to the owner: cancel, answered once the outcome is stored; or the news that its last viewer left.",
        (ControlRequest,),
        (ControlReply,),
    ),
    Channel(
        "viewers",
        _address(subjects.viewers(_ANY)),
        "The owner to all gateways, with an empty message: does anybody watch? Who has no viewer does not answer.",
        (),
        (ViewersReply,),
    ),
)


def asyncapi() -> dict[str, Any]:
    """The document."""
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Planstream over NATS",
            "version": VERSION,
            "description": "What the services say to each other. Clients use the HTTP API; see openapi.json.",
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel) for channel in CHANNELS},
        "operations": {channel.name: _operation(channel) for channel in CHANNELS},
        "components": {"messages": _messages(), "schemas": _schemas()},
    }


def _channel(channel: Channel) -> dict[str, Any]:
    described: dict[str, Any] = {
        "address": channel.address,
        "description": f"{channel.about} ({'JetStream' if channel.over == 'jetstream' else 'core NATS'})",
        "messages": {
            name: {"$ref": f"#/components/messages/{name}"}
            for name in (*map(_name, channel.messages), *(() if channel.messages else ("Empty",)))
        }
        | {_name(reply): {"$ref": f"#/components/messages/{_name(reply)}"} for reply in channel.replies},
    }
    if "{planId}" in channel.address:
        described["parameters"] = {"planId": {"description": "a UUID, checked before it becomes part of a subject"}}
    return described


def _operation(channel: Channel) -> dict[str, Any]:
    names = [_name(message) for message in channel.messages] or ["Empty"]
    described: dict[str, Any] = {
        "action": "send",
        "channel": {"$ref": f"#/channels/{channel.name}"},
        "messages": [{"$ref": f"#/channels/{channel.name}/messages/{name}"} for name in names],
    }
    if channel.replies:
        described["reply"] = {
            "channel": {"$ref": f"#/channels/{channel.name}"},
            "messages": [
                {"$ref": f"#/channels/{channel.name}/messages/{_name(message)}"} for message in channel.replies
            ],
        }
    return described


def _name(model: type[BaseModel]) -> str:
    return model.__name__


def _models() -> list[type[BaseModel]]:
    found = [model for channel in CHANNELS for model in (*channel.messages, *channel.replies)]
    return list(dict.fromkeys(found))


def _messages() -> dict[str, Any]:
    described = {
        _name(model): {
            "summary": (model.__doc__ or "").strip(),
            "payload": {"$ref": f"#/components/schemas/{_name(model)}"},
        }
        for model in _models()
    }
    return described | {"Empty": {"summary": "Nothing: the subject says it all.", "payload": {"type": "null"}}}


def _schemas() -> dict[str, Any]:
    wanted = [(model, "serialization") for model in _models()]
    _, found = models_json_schema(
        wanted,  # type: ignore[arg-type]  # the literals became str
        by_alias=True,
        ref_template="#/components/schemas/{model}",
    )
    schemas: dict[str, Any] = found["$defs"]
    return dict(sorted(schemas.items()))
