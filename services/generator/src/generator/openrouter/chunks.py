"""One `data:` object of the stream → what it says. Pure, and lenient wherever recorded traffic was.

Source: OpenRouter's streaming and error pages; recorded streams from November 2025 to August 2026.
"""

from typing import Any, Final, NamedTuple

_NOTHING: Final[dict[str, Any]] = {}


class Chunk(NamedTuple):
    """What one object carries. `error` is upstream's own error value, None when there is none.

    `usage` comes in three shapes: beside a choice without finish reason, beside `choices: []`, and beside a choice that
    repeats the finish reason; which one does not matter here.
    """

    content: str
    reasoning: bool
    refusal: str
    finish_reason: str | None
    usage: dict[str, Any] | None
    error: Any
    debug: bool

    @property
    def meaningful(self) -> bool:
        """Whether it is progress; empty deltas, debug chunks and comments are not."""
        return bool(self.content or self.reasoning or self.refusal or self.finish_reason or self.usage)


def plain_content(event: dict[str, Any]) -> str | None:
    """The content of a chunk that carries nothing else, as nearly all do; None: let `classify` look at it."""
    try:
        [choice] = event["choices"]
        delta = choice["delta"]
        content = delta["content"]
        if (
            not isinstance(content, str)
            or choice.get("finish_reason")
            or event.get("usage")
            or event.get("error")
            or choice.get("error")
            or delta.get("refusal")
            or "debug" in event
        ):
            return None
    except (AttributeError, KeyError, TypeError, ValueError):
        return None
    return content or None


def classify(event: dict[str, Any]) -> Chunk:
    """Read one chat.completion.chunk; fields of an unexpected type count as absent."""
    choice = _first_choice(event.get("choices"))
    delta = choice.get("delta")
    if not isinstance(delta, dict):
        delta = _NOTHING
    content = delta.get("content")
    refusal = delta.get("refusal")
    finish_reason = choice.get("finish_reason")
    usage = event.get("usage")
    return Chunk(
        content if isinstance(content, str) else "",
        _reasons(delta),
        refusal if isinstance(refusal, str) else "",
        finish_reason if isinstance(finish_reason, str) and finish_reason else None,
        usage if isinstance(usage, dict) and usage else None,
        error_of(event, choice),
        "debug" in event,
    )


def error_of(event: dict[str, Any], choice: dict[str, Any]) -> Any:
    """The error of a chunk or of a whole answer: at the top, in the choice, or only said by the finish reason."""
    error = event.get("error") or choice.get("error")
    if error:
        return error
    return {"message": "finish_reason is error"} if choice.get("finish_reason") == "error" else None


def _first_choice(choices: Any) -> dict[str, Any]:
    """The one choice; empty when `choices` is missing, null or empty."""
    if isinstance(choices, list) and choices and isinstance(choices[0], dict):
        return choices[0]
    return _NOTHING


def _reasons(delta: dict[str, Any]) -> bool:
    """Whether the model is thinking: readable text, a summary, or an encrypted block."""
    if delta.get("reasoning"):
        return True
    details = delta.get("reasoning_details")
    if not isinstance(details, list):
        return False
    return any(
        isinstance(detail, dict) and (detail.get("text") or detail.get("summary") or detail.get("data"))
        for detail in details
    )
