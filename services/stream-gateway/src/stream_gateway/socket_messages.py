"""What comes over a WebSocket, and what is answered beside the events. Pure."""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

import orjson
from pydantic import Field, TypeAdapter, ValidationError

from common.contracts.base import Request
from common.contracts.errors import ErrorCode
from common.ids import Uuid
from common.problems import ApiError, invalid_input


class Watch(Request):
    """Begin to watch a plan, or resume after `cursor`; of a plan that is watched already, begin anew."""

    type: Literal["watch"]
    plan_id: Uuid
    cursor: str | None = None


class Unwatch(Request):
    """Watch a plan no more."""

    type: Literal["unwatch"]
    plan_id: Uuid


class Cancel(Request):
    """Stop a plan."""

    type: Literal["cancel"]
    plan_id: Uuid


class Ping(Request):
    """Is anybody there."""

    type: Literal["ping"]


SocketRequest = Annotated[Watch | Unwatch | Cancel | Ping, Field(discriminator="type")]
_REQUEST: Final[TypeAdapter[Watch | Unwatch | Cancel | Ping]] = TypeAdapter(SocketRequest)


def read_request(text: str | None) -> Watch | Unwatch | Cancel | Ping:
    """A message; `text` is None for a binary one.

    Raises:
        ApiError: invalid_input.
    """
    if text is None:
        raise ApiError(ErrorCode.INVALID_INPUT, "Send JSON in a text message.")
    try:
        orjson.loads(text)  # refuses what nests too deep before pydantic builds anything
        return _REQUEST.validate_json(text, by_alias=True, by_name=False)
    except (orjson.JSONDecodeError, UnicodeEncodeError) as error:
        raise ApiError(ErrorCode.INVALID_INPUT, f"The message is not valid JSON: {error}.") from error
    except ValidationError as error:
        raise invalid_input(error) from error


def reply(event: str, **members: Any) -> str:
    """An answer."""
    return orjson.dumps({"event": event, **members}).decode()


def refusal(error: ApiError, plan_id: UUID | None) -> str:
    """The answer to a message that could not be done. A plan's own end is `error`; this is about the message."""
    members: dict[str, Any] = {"code": error.code, "message": error.detail}
    if plan_id is not None:
        members["planId"] = str(plan_id)
    if error.retry_after is not None:
        members["retryAfter"] = error.retry_after
    if error.errors is not None:
        members["errors"] = error.errors
    return reply("request_error", **members)
