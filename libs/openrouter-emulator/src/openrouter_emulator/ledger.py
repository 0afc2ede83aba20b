"""What was asked and what was served; bounded, in memory."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Literal

MAX_GENERATIONS = 10_000
MAX_REQUESTS = 1_000

Outcome = Literal["running", "completed", "failed", "aborted"]
"""failed: ended early because a behaviour said so. aborted: the client closed before the end."""


@dataclass(slots=True)
class Generation:
    """One answer with status 200."""

    id: str
    model: str
    provider: str
    session_id: str | None
    user: str | None
    streamed: bool
    created: float
    """Unix time, seconds."""
    delay_seconds: float
    """How long /generation does not know it after its end."""
    prompt_tokens: int
    total_tokens: int
    """Completion tokens of the whole answer."""
    reasoning_tokens: int
    served_tokens: int = 0
    outcome: Outcome = "running"
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    first_token: float | None = None
    ended: float | None = None


@dataclass(frozen=True, slots=True)
class RecordedRequest:
    """A request as it came in; `Authorization` is redacted."""

    number: int
    received: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    """Parsed JSON, or the text when it was none."""
    prompt: str | None
    session_id: str | None
    generation_id: str | None
    status: int


@dataclass(slots=True)
class Counters:
    """Totals since the start or the last reset."""

    requests: int = 0
    streams: int = 0
    active_streams: int = 0
    completed: int = 0
    failed: int = 0
    aborted: int = 0
    rejected: int = 0
    tokens_served: int = 0


@dataclass(slots=True)
class Ledger:
    """The books of one emulator."""

    counters: Counters = field(default_factory=Counters)
    _generations: dict[str, Generation] = field(default_factory=dict)
    _requests: deque[RecordedRequest] = field(default_factory=lambda: deque(maxlen=MAX_REQUESTS))

    def record_request(self, request: RecordedRequest) -> None:
        """Keep a request; the oldest makes room."""
        self._requests.append(request)

    def open_generation(self, generation: Generation) -> None:
        """A response is committed."""
        while len(self._generations) >= MAX_GENERATIONS:
            self._generations.pop(next(iter(self._generations)))
        self._generations[generation.id] = generation
        if generation.streamed:
            self.counters.streams += 1
            self.counters.active_streams += 1

    def close_generation(self, generation: Generation, outcome: Literal["completed", "failed", "aborted"]) -> None:
        """The response has ended."""
        generation.outcome = outcome
        setattr(self.counters, outcome, getattr(self.counters, outcome) + 1)
        self.counters.tokens_served += generation.served_tokens
        if generation.streamed:
            self.counters.active_streams -= 1

    def generation(self, generation_id: str) -> Generation | None:
        """By id, also while it is running."""
        return self._generations.get(generation_id)

    def generations(self, limit: int) -> list[Generation]:
        """The newest first."""
        return list(islice(reversed(self._generations.values()), limit))

    def requests(self, limit: int) -> list[RecordedRequest]:
        """The newest first."""
        return list(islice(reversed(self._requests), limit))

    def reset(self) -> None:
        """Zero everything but the streams that are still running."""
        running = {generation.id: generation for generation in self._generations.values() if generation.ended is None}
        self._generations = running
        self._requests.clear()
        self.counters = Counters(active_streams=sum(generation.streamed for generation in running.values()))
