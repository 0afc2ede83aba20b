"""The endpoints beside chat completions (fact sheet §7)."""

import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from openrouter_emulator import wire
from openrouter_emulator.chat import MISSING_AUTHENTICATION, ChatCompletions, is_authenticated
from openrouter_emulator.ledger import Generation
from openrouter_emulator.state import EmulatorState

MODELS = ("openai/gpt-4.1-mini", "openai/gpt-4.1", "google/gemini-2.5-flash", "anthropic/claude-haiku-4.5")
CONTEXT_LENGTH = 1_047_576
MAX_COMPLETION_TOKENS = 32_768

# Closing the connection does not stop these from generating, and billing (§6).
NOT_CANCELLABLE = frozenset(
    {"Amazon Bedrock", "Groq", "Google", "Google AI Studio", "Mistral", "Minimax", "Perplexity", "SambaNova"}
    | {"Nebius", "Alibaba", "Replicate"}
)

Handler = Callable[[Request], Awaitable[Response]]


def api_routes(state: EmulatorState) -> list[Route]:
    """What OpenRouter serves below /api/v1."""

    async def generation(request: Request) -> Response:
        found = state.ledger.generation(request.query_params.get("id", ""))
        if found is None or found.ended is None or time.time() < found.ended + found.delay_seconds:
            return _json({"error": {"message": "Generation not found", "code": 404}}, 404)
        return _json({"data": generation_record(found)})

    async def models(request: Request) -> Response:
        return _json({"data": [_model_record(name) for name in MODELS]})

    async def key(request: Request) -> Response:
        return _json({"data": _key_record(state.ledger.counters.tokens_served * wire.COMPLETION_PRICE)})

    return [
        Route("/chat/completions", ChatCompletions(state), methods=["POST"]),
        Route("/generation", _with_key(generation)),
        Route("/models", models),
        Route("/key", _with_key(key)),
    ]


def generation_record(generation: Generation) -> dict[str, Any]:
    """The `data` of /generation; times in milliseconds, costs in USD."""
    assert generation.ended is not None
    aborted = generation.outcome == "aborted"
    stops_billing = generation.streamed and generation.provider not in NOT_CANCELLABLE
    completion = generation.served_tokens if stops_billing or not aborted else generation.total_tokens
    cost = round(sum(wire.costs(generation.prompt_tokens, completion)), 10)
    first = generation.first_token or generation.ended
    latency, duration = round((first - generation.created) * 1000), round((generation.ended - first) * 1000)
    served_by = {"provider_name": generation.provider, "status": 200, "latency": latency, "endpoint_id": "emulator"}
    return {
        "id": generation.id,
        "upstream_id": f"resp_{generation.id[-20:]}",
        "model": generation.model,
        "provider_name": generation.provider,
        "created_at": datetime.fromtimestamp(generation.created, UTC).isoformat(timespec="milliseconds"),
        "streamed": generation.streamed,
        "cancelled": aborted,
        "finish_reason": generation.finish_reason,
        "native_finish_reason": generation.native_finish_reason,
        "tokens_prompt": generation.prompt_tokens,
        "tokens_completion": completion,
        "native_tokens_prompt": generation.prompt_tokens,
        "native_tokens_completion": completion,
        "native_tokens_reasoning": min(generation.reasoning_tokens, completion),
        "native_tokens_cached": 0,
        "total_cost": cost,
        "usage": cost,
        "upstream_inference_cost": 0,
        "latency": latency,
        "generation_time": duration,
        "moderation_latency": None,
        "is_byok": False,
        "session_id": generation.session_id,
        "external_user": generation.user,
        "provider_responses": [served_by],
    }


def _with_key(handler: Handler) -> Handler:
    async def checked(request: Request) -> Response:
        if not is_authenticated(request.headers):
            return _json({"error": {"message": MISSING_AUTHENTICATION, "code": 401}}, 401)
        return await handler(request)

    return checked


def _model_record(name: str) -> dict[str, Any]:
    return {
        "id": name,
        "canonical_slug": name,
        "name": name,
        "context_length": CONTEXT_LENGTH,
        "pricing": {"prompt": "0.0000004", "completion": "0.0000016"},
        "top_provider": {
            "context_length": CONTEXT_LENGTH,
            "max_completion_tokens": MAX_COMPLETION_TOKENS,
            "is_moderated": False,
        },
        "supported_parameters": ["max_tokens", "response_format", "seed", "stop", "structured_outputs", "temperature"],
    }


def _key_record(usage: float) -> dict[str, Any]:
    return {
        "label": "sk-or-v1-emu...tor",
        "limit": None,
        "limit_remaining": None,
        "limit_reset": None,
        "usage": usage,
        "usage_daily": usage,
        "usage_weekly": usage,
        "usage_monthly": usage,
        "is_free_tier": False,
        "free_model_daily_requests": {"used": 0, "limit": 1000, "remaining": 1000},
    }


def _json(document: dict[str, Any], status: int = 200) -> Response:
    return Response(orjson.dumps(document), status, media_type="application/json")
