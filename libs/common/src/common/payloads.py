"""The bytes of stream events as they travel over NATS: one JSON object whose first member is `event`. Pure.

Plain dictionaries and orjson: these run on the hot path. Tests hold them against the models in
`common.contracts.events`. The stored row of a plan becomes an event here, too, for whoever reads it.
"""

from dataclasses import dataclass
from typing import Any
from uuid import UUID

import orjson

from common.contracts.errors import ErrorCode, PlanError
from common.contracts.events import TerminalStatus, Usage
from common.contracts.internal import EndedAs, PlanView
from common.contracts.ops import Op

Progress = dict[str, object]


@dataclass(frozen=True, slots=True)
class End:
    """How a plan ended, with the document that was stored."""

    status: TerminalStatus
    ended_as: EndedAs
    code: ErrorCode | None
    document: Any


def snapshot(plan_id: str, attempt: int, seq: int, plan: Any, progress: Progress) -> bytes:
    """State after event seq."""
    return orjson.dumps(
        {"event": "snapshot", "planId": plan_id, "attempt": attempt, "seq": seq, "plan": plan, "progress": progress}
    )


def progress(plan_id: str, attempt: int, seq: int, ops: list[Op], progress: Progress) -> bytes:
    """Operations since event seq - 1."""
    return orjson.dumps(
        {"event": "progress", "planId": plan_id, "attempt": attempt, "seq": seq, "ops": ops, "progress": progress}
    )


def terminal(plan_id: UUID, attempt: int, seq: int, end: End, usage: Usage | None, progress: Progress) -> bytes:
    """The one terminal event."""
    head: dict[str, Any] = {"event": end.ended_as, "planId": str(plan_id), "attempt": attempt, "seq": seq}
    body: dict[str, Any] = {"status": end.status, "plan": end.document}
    if end.ended_as == "complete":
        body |= {"usage": (usage or Usage()).model_dump(by_alias=True), "progress": progress}
    elif end.ended_as == "error":
        body |= PlanError.of(end.code or ErrorCode.INTERNAL).model_dump(by_alias=True)
    return orjson.dumps(head | body)


def of_view(view: PlanView) -> bytes | None:
    """A stored row as the event it stands for.

    None while no generator has claimed the plan, and when it is only claimed: a takeover writes
    (attempt + 1, 0) over the document of the attempt before, of which the opening snapshot may keep less. The next
    event of that attempt, or a row with seq 1, says more.
    """
    progress = view.progress.model_dump(by_alias=True)
    if view.status == "generating":
        if view.attempt == 0 or (view.attempt > 1 and view.seq == 0):
            return None
        return snapshot(str(view.plan_id), view.attempt, view.seq, view.plan, progress)
    assert view.ended_as is not None, "a terminal row says how it ended"
    end = End(view.status, view.ended_as, view.code, view.plan)
    if view.ended_as == "complete" and view.plan is None:
        # Its user has deleted it: whoever still watches has nothing to wait for.
        end = End("failed", "cancelled", None, None)
    return terminal(view.plan_id, view.attempt, view.seq, end, view.usage, progress)
