"""OpenRouter's Chat Completions: a pure core (chunks, failures, fold, completion) under a thin aiohttp shell."""

from generator.openrouter.call import Completion, StreamChunk, UpstreamCall
from generator.openrouter.config import CompletionRequest, OpenRouterConfig
from generator.openrouter.failures import UpstreamError
from generator.openrouter.service import OpenRouterService
from generator.openrouter.session import new_session
from generator.openrouter.stream import PlanStream

__all__ = [
    "Completion",
    "CompletionRequest",
    "OpenRouterConfig",
    "OpenRouterService",
    "PlanStream",
    "StreamChunk",
    "UpstreamCall",
    "UpstreamError",
    "new_session",
]
