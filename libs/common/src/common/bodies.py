"""Read a JSON request body: bounded, typed, and refused with a stable code."""

import asyncio
from typing import Literal, TypeVar

import orjson
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from common.contracts.base import Envelope
from common.contracts.errors import ErrorCode
from common.problems import ApiError, invalid_input

Model = TypeVar("Model", bound=BaseModel)

MAX_BODY_BYTES = 64 * 1024
# For the whole body, which is small: a client that sends none must not hold a handler.
BODY_SECONDS = 10.0


async def read_body(request: Request, limit: int = MAX_BODY_BYTES, seconds: float = BODY_SECONDS) -> bytes:
    """The whole body.

    Raises:
        ApiError: payload_too_large, before more than `limit` bytes are held; invalid_input, when the client goes away
            or has not sent all of it in `seconds`.
    """
    too_large = ApiError(ErrorCode.PAYLOAD_TOO_LARGE, f"The body may hold at most {limit} bytes.")
    declared = request.headers.get("content-length", "0")
    if declared.isascii() and declared.isdigit() and int(declared) > limit:
        raise too_large
    parts: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(seconds):
            async for part in request.stream():
                size += len(part)
                if size > limit:
                    raise too_large
                parts.append(part)
    except TimeoutError as error:
        detail = f"The body was not complete after {seconds:g} seconds."
        raise ApiError(ErrorCode.INVALID_INPUT, detail) from error
    except ClientDisconnect as error:
        raise ApiError(ErrorCode.INVALID_INPUT, "The connection closed before the body was complete.") from error
    return b"".join(parts)


def require_json(request: Request) -> None:
    """Let only a JSON body in, by its media type.

    Raises:
        ApiError: unsupported_media_type.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" and not media_type.endswith("+json"):
        raise ApiError(ErrorCode.UNSUPPORTED_MEDIA_TYPE, "Send the body as application/json.")


async def read_model(request: Request, model: type[Model], limit: int = MAX_BODY_BYTES) -> tuple[Model, bytes]:
    """The body as a model, and its bytes (an idempotency key is bound to them).

    Raises:
        ApiError: unsupported_media_type, payload_too_large, or invalid_input with where and why.
    """
    require_json(request)
    body = await read_body(request, limit)
    return parse_model(body, model), body


def parse_model(body: bytes, model: type[Model]) -> Model:
    """Validate JSON bytes.

    Raises:
        ApiError: invalid_input, with the place of the first fault.
    """
    try:
        # orjson refuses what is not UTF-8 or nests too deep before pydantic builds anything.
        orjson.loads(body)
        # Between our own services also what stands within: the inputs in a job are strict to a client alone.
        extra: Literal["ignore"] | None = "ignore" if issubclass(model, Envelope) else None
        return model.model_validate_json(body, by_alias=True, by_name=False, extra=extra)
    except orjson.JSONDecodeError as error:
        raise ApiError(ErrorCode.INVALID_INPUT, f"The body is not valid JSON: {error}.") from error
    except ValidationError as error:
        raise invalid_input(error) from error


class JsonModel(Response):
    """A wire model as the response."""

    media_type = "application/json"

    def __init__(self, model: Envelope, status_code: int = 200, headers: dict[str, str] | None = None) -> None:
        super().__init__(model.to_json(), status_code, {"Cache-Control": "no-store"} | (headers or {}))
