"""The control API: what the next requests do, and what was asked and served."""

from dataclasses import asdict
from typing import Any

import orjson
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openrouter_emulator.behaviours import Assignment
from openrouter_emulator.ledger import Generation
from openrouter_emulator.rulebook import Rule
from openrouter_emulator.state import EmulatorState

DEFAULT_LIMIT = 100


def control_routes(state: EmulatorState) -> list[Route]:
    """What is served below /control."""

    async def assign(request: Request) -> Response:
        try:
            assignment = Assignment.model_validate_json(await request.body())
        except ValidationError as error:
            return _json({"errors": error.errors(include_url=False, include_context=False)}, 422)
        return _json(rule_view(state.rules.add(assignment)), 201)

    async def listed(request: Request) -> Response:
        return _json({"behaviours": [rule_view(rule) for rule in state.rules.rules()]})

    async def clear(request: Request) -> Response:
        return _json({"removed": state.rules.clear()})

    async def remove(request: Request) -> Response:
        removed = state.rules.remove(request.path_params["id"])
        return _json({"removed": int(removed)}, 200 if removed else 404)

    async def stats(request: Request) -> Response:
        return _json(stats_view(state, _limit(request)))

    async def requests(request: Request) -> Response:
        return _json({"requests": [asdict(entry) for entry in state.ledger.requests(_limit(request))]})

    async def reset(request: Request) -> Response:
        state.ledger.reset()
        return _json({"removed": state.rules.clear()})

    return [
        Route("/behaviours", assign, methods=["POST"]),
        Route("/behaviours", listed, methods=["GET"]),
        Route("/behaviours", clear, methods=["DELETE"]),
        Route("/behaviours/{id}", remove, methods=["DELETE"]),
        Route("/stats", stats, methods=["GET"]),
        Route("/requests", requests, methods=["GET"]),
        Route("/reset", reset, methods=["POST"]),
    ]


def rule_view(rule: Rule) -> dict[str, Any]:
    """A rule as the control API shows it."""
    return {"id": rule.id, "remaining": rule.remaining, **rule.assignment.model_dump(exclude_unset=True)}


def stats_view(state: EmulatorState, limit: int) -> dict[str, Any]:
    """The counters, and the newest generations by id."""
    generations = {generation.id: _generation_view(generation) for generation in state.ledger.generations(limit)}
    return {**asdict(state.ledger.counters), "generations": generations}


def _generation_view(generation: Generation) -> dict[str, Any]:
    return {
        "outcome": generation.outcome,
        "tokens": generation.served_tokens,
        "total_tokens": generation.total_tokens,
        "session_id": generation.session_id,
        "streamed": generation.streamed,
        "finish_reason": generation.finish_reason,
        "created": generation.created,
        "ended": generation.ended,
    }


def _limit(request: Request) -> int:
    given = request.query_params.get("limit", "")
    return int(given) if given.isdecimal() else DEFAULT_LIMIT


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document, default=str), status, media_type="application/json")
