"""The bytes of stream events as they are published: one JSON object whose first member is `event`. Pure.

Plain dictionaries and orjson: these run on the hot path. Tests hold them against the models in
`common.contracts.events`.
"""

from typing import Any
from uuid import UUID

import orjson

from common.contracts.errors import failure_message, is_retryable
from common.contracts.events import Usage
from common.contracts.internal import PlanView
from common.contracts.ops import Op
from generator.identity import Ending

Progress = dict[str, object]


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


def terminal(plan_id: UUID, attempt: int, seq: int, ending: Ending, usage: Usage | None, progress: Progress) -> bytes:
    """The one terminal event; it carries the stored document."""
    head: dict[str, Any] = {"event": ending.ended_as, "planId": str(plan_id), "attempt": attempt, "seq": seq}
    body: dict[str, Any] = {"status": ending.status, "plan": ending.document}
    if ending.ended_as == "complete":
        body |= {"usage": (usage or Usage()).model_dump(by_alias=True), "progress": progress}
    elif ending.ended_as == "error":
        code = ending.code
        assert code is not None, "an error has a code"
        body |= {"code": code, "message": failure_message(code), "retryable": is_retryable(code)}
    return orjson.dumps(head | body)


def terminal_of(view: PlanView) -> bytes:
    """The terminal event of a stored row.

    Raises:
        ValueError: the plan has not ended.
    """
    if view.ended_as is None or view.charge is None or view.status == "generating":
        raise ValueError("the plan has not ended")
    ending = Ending(view.status, view.ended_as, view.charge, view.code, view.plan)
    progress = view.progress.model_dump(by_alias=True)
    return terminal(view.plan_id, view.attempt, view.seq, ending, view.usage, progress)
