"""What is around the whole application."""

import asyncio
from typing import Any

import httpx
import pytest
import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from common.problems import EXCEPTION_HANDLERS
from common.server import Draining, LastWord
from stream_gateway.answer_headers import AnswerHeaders, request_id
from stream_gateway.app import create_app
from stream_gateway.cors import Cors
from stream_gateway.settings import Settings

APP = "https://app.test"


@pytest.mark.provokes("5xx", "a bug")
@pytest.mark.provokes("crash", "a bug")
async def test_a_crash_is_answered_with_all_headers_and_logged_with_the_id() -> None:
    """A page can read what went wrong, which says nothing of the inside; every line that is logged has the id."""
    bound: list[dict[str, Any]] = []

    async def crash(_: Request) -> Response:
        bound.append(structlog.contextvars.get_contextvars())
        raise RuntimeError("a detail of ours")

    app = AnswerHeaders(Starlette(routes=[Route("/", crash)], exception_handlers=EXCEPTION_HANDLERS), Cors([APP]))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway.test") as client:
        answer = await client.get("/", headers={"Origin": APP, "X-Request-Id": "look-for-me"})
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["x-request-id"] == bound[0]["request_id"] == "look-for-me"
    assert "detail of ours" not in answer.text
    assert "request_id" not in structlog.contextvars.get_contextvars()


def test_the_gateway_puts_it_outside_of_everything() -> None:
    """Also of what Starlette answers to a crash."""
    values: dict[str, Any] = {"database_url": "postgresql://x", "service_token": "x" * 16, "host": "127.0.0.1"}
    assert isinstance(create_app(Settings(auth_mode="dev", **values), Draining()), AnswerHeaders)


@pytest.mark.provokes("5xx", "a shutdown")
async def test_the_last_word_of_a_shutdown_carries_them_too() -> None:
    """A page of another origin can read that it is to come again."""

    async def cut_off(_: Scope, __: Receive, ___: Send) -> None:
        raise asyncio.CancelledError

    app = LastWord(AnswerHeaders(LastWord(cut_off), Cors([APP])))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as client:
        answer = await client.get("/", headers={"Origin": APP})
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "unavailable", "1")
    assert answer.headers["access-control-allow-origin"] == APP
    assert answer.headers["x-request-id"]


async def test_a_head_says_no_length_that_a_get_would_not_have() -> None:
    """RFC 9110 section 8.6: the length of the answer to a GET, or none at all."""
    app = AnswerHeaders(
        Starlette(
            routes=[
                Route("/unknown", lambda _: Response()),
                Route("/known", lambda _: Response(b"text")),
            ]
        ),
        Cors([APP]),
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway.test") as client:
        assert "content-length" not in (await client.head("/unknown")).headers
        assert (await client.head("/known")).headers["content-length"] == "4"
        assert (await client.get("/unknown")).headers["content-length"] == "0"


def test_every_request_without_a_good_id_gets_its_own() -> None:
    """Never the same one twice."""
    made = {request_id([]) for _ in range(100)} | {request_id([b"no good"])}
    assert len(made) == 101
