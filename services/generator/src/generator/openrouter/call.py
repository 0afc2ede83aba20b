"""What one upstream call brought, and what it cost. Pure."""

from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

# Roughly what every tokenizer makes of English and JSON; only used when the provider sent no usage.
CHARS_PER_TOKEN: Final = 4
_LABEL_LENGTH: Final = 200
_MOST_TOKENS: Final = 2**31 - 1


class StreamChunk(NamedTuple):
    """All the content text that one network read brought; never empty."""

    text: str


@dataclass(slots=True)
class UpstreamCall:
    """The record of one call, filled while it runs.

    `source` is `provider` once OpenRouter reported usage. An aborted stream never gets such a report, so until then the
    tokens are our estimate and `cost` (USD) is unknown; `OpenRouterService.fetch_usage` can learn both afterwards.
    """

    generation_id: str | None = None
    provider: str | None = None
    model: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cost: float | None = None
    finish_reason: str | None = None
    source: Literal["provider", "estimated"] = "estimated"
    chars: int = 0

    def report(self, prompt_tokens: int, completion_tokens: int, cost: float | None) -> None:
        """Take over the provider's own count."""
        self.prompt_tokens = prompt_tokens
        self.completion_tokens = completion_tokens
        self.cost = cost
        self.source = "provider"

    def estimate(self, prompt_chars: int) -> None:
        """Fill in the tokens from lengths, unless the provider has counted them."""
        if self.source == "estimated":
            self.prompt_tokens = -(-prompt_chars // CHARS_PER_TOKEN)
            self.completion_tokens = -(-self.chars // CHARS_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Completion:
    """The answer of a call without streaming. `call.finish_reason` may be `length`: then the text is cut off."""

    text: str
    call: UpstreamCall


def label(value: Any) -> str | None:
    """A name that upstream sent, bounded and fit to be stored, or None when it is no text."""
    if not isinstance(value, str) or not value:
        return None
    # Neither NUL nor half a surrogate pair, both legal in JSON, goes into a database.
    return value[:_LABEL_LENGTH].encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def count(value: Any) -> int:
    """A token count that upstream sent; 0 when it is missing or nonsense."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _MOST_TOKENS else 0


def amount(value: Any) -> float | None:
    """A price in USD that upstream sent, or None when it is missing or nonsense."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < float("inf") else None
