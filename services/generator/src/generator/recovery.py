"""What follows when an upstream call has ended. Pure and total: every path ends in `Complete` or `Fail`.

Before content a call is tried again; after content a continuation asks for what is missing; when streaming keeps
failing one call without streaming is made; a whole document that is not a plan is repaired once (design, section 5).
"""

from dataclasses import dataclass, replace
from typing import Literal, assert_never

from common.contracts.errors import ErrorCode

Purpose = Literal["stream", "sync", "continuation", "fallback", "repair"]


@dataclass(frozen=True, slots=True)
class Limits:
    """How often each way out may be taken, the pauses between, and the whole attempt (seconds)."""

    tries: int = 3
    continuations: int = 4
    repairs: int = 1
    first_pause: float = 0.5
    longest_pause: float = 20.0
    attempt: float = 300.0


@dataclass(frozen=True, slots=True)
class History:
    """What has been tried in this attempt."""

    streaming: bool
    failures: int = 0
    continuations: int = 0
    repairs: int = 0
    fell_back: bool = False


@dataclass(frozen=True, slots=True)
class Whole:
    """The answer's JSON was whole; `valid` says whether the document is a plan."""

    valid: bool


@dataclass(frozen=True, slots=True)
class Broken:
    """The call ended early.

    Attributes:
        code: what the viewer will read if nothing helps.
        retryable: whether another call may succeed.
        wrote: this call brought content.
        progressed: this call completed a week.
        retry_after: seconds that upstream asked for.
    """

    code: ErrorCode
    retryable: bool
    wrote: bool
    progressed: bool
    retry_after: float | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """Make another call, after a pause in seconds."""

    purpose: Purpose
    pause: float = 0.0


@dataclass(frozen=True, slots=True)
class Complete:
    """The document is a plan."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing is left to try."""

    code: ErrorCode


Step = Call | Complete | Fail


def next_step(
    history: History, purpose: Purpose, ended: Whole | Broken, limits: Limits, jitter: float, elapsed: float = 0.0
) -> tuple[History, Step]:
    """Decide what follows the end of a call.

    Args:
        history: before this call's end.
        purpose: of the call that ended.
        ended: how.
        limits: the settings.
        jitter: from 0 to 1; a pause is between half and the whole of its nominal length.
        elapsed: seconds since the attempt began.
    """
    match ended:
        case Whole(valid=True):
            return history, Complete()
        case Whole():
            if history.repairs >= limits.repairs:
                return history, Fail(ErrorCode.INVALID_PLAN)
            return replace(history, repairs=history.repairs + 1), Call("repair")
        case Broken():
            after, step = _after_break(history, purpose, ended, limits, jitter)
            if isinstance(step, Call) and elapsed + step.pause >= limits.attempt:
                # Upstream asks for more patience than is left: better to say why now than to time out waiting.
                return history, Fail(ended.code)
            return after, step
        case _:
            assert_never(ended)


def _after_break(
    history: History, purpose: Purpose, ended: Broken, limits: Limits, jitter: float
) -> tuple[History, Step]:
    if purpose == "repair":
        return history, Fail(ErrorCode.INVALID_PLAN)
    if not ended.retryable:
        return history, Fail(ended.code)
    history = replace(history, failures=0 if ended.progressed else history.failures + 1)
    if purpose == "fallback":
        return history, Fail(ended.code)
    pause = _pause(history.failures, ended.retry_after, limits, jitter)
    if history.failures < limits.tries:
        if not ended.wrote:
            return history, Call(purpose, pause)
        if history.continuations < limits.continuations:
            history = replace(history, continuations=history.continuations + 1)
            return history, Call("continuation", pause if history.failures > 1 else 0.0)
    if history.streaming and not history.fell_back:
        return replace(history, fell_back=True), Call("fallback", pause if ended.retry_after is not None else 0.0)
    return history, Fail(ended.code)


def _pause(failures: int, retry_after: float | None, limits: Limits, jitter: float) -> float:
    if retry_after is not None:
        return retry_after + jitter * limits.first_pause
    nominal: float = min(limits.first_pause * 2 ** max(failures - 1, 0), limits.longest_pause)
    return nominal * (0.5 + jitter / 2)
