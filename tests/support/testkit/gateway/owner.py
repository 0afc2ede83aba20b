"""A generator that owns a plan, as a gateway meets it over NATS."""

from typing import Any, Literal
from uuid import UUID

import orjson
from nats.aio.client import Client
from nats.aio.msg import Msg

from common import fold
from common.contracts import subjects
from common.contracts.events import Usage
from common.contracts.internal import PlanView
from common.contracts.messages import ControlReply
from common.contracts.ops import Op
from testkit.gateway.backend import progress_of, row_of


class Owner:
    """A generator's side of one plan: it publishes what it writes, and answers how it stands."""

    def __init__(self, client: Client, plan_id: UUID, attempt: int = 1) -> None:
        self.plan_id = plan_id
        self.attempt = attempt
        self.seq = 0
        self.document: Any = None
        self.ending: dict[str, Any] | None = None
        self.silent = False
        self.commands: list[str] = []
        self.asked = 0
        self.client = client

    async def claim(self) -> None:
        """Answer from now on, and open the attempt with its snapshot."""
        await self.client.subscribe(subjects.state(self.plan_id), cb=self._on_state)
        await self.client.subscribe(subjects.control(self.plan_id), cb=self._on_control)
        await self.client.flush()
        await self.publish(self.state())

    async def write(self, *ops: Op, lost: bool = False) -> None:
        """Apply operations and publish them as the next event, which may get lost on its way."""
        self.document = fold.apply(self.document, orjson.loads(orjson.dumps(ops)))
        self.seq += 1
        if not lost:
            await self.publish(self._event("progress", ops=ops, progress=self._progress()))

    async def say(self, text: str, *, lost: bool = False) -> None:
        """Write a bit more of the summary."""
        if self.document is None:
            await self.write({"op": "add", "path": "", "value": {"monthly_summary": text}}, lost=lost)
        else:
            await self.write({"op": "append", "path": "/monthly_summary", "value": text}, lost=lost)

    async def complete(self, *, lost: bool = False) -> None:
        """End with the whole document."""
        usage = Usage().model_dump(by_alias=True)
        await self._end(
            "complete", lost, status="completed", plan=self.document, usage=usage, progress=self._progress()
        )

    async def _end(self, name: str, lost: bool, **members: Any) -> None:
        self.seq += 1
        self.ending = self._event(name, **members)
        if not lost:
            await self.publish(self.ending)

    async def publish(self, event: dict[str, Any]) -> None:
        """Publish one event."""
        await self.client.publish(subjects.events(self.plan_id), orjson.dumps(event))

    def state(self) -> dict[str, Any]:
        """The snapshot, or the terminal event once there is one."""
        return self.ending or self._event("snapshot", plan=self.document, progress=self._progress())

    def row(self) -> PlanView:
        """What would be stored now."""
        ended = self.ending is not None
        return row_of(
            self.plan_id,
            status="completed" if ended else "generating",
            ended_as="complete" if ended else None,
            attempt=self.attempt,
            seq=self.seq,
            plan=self.document,
        )

    def _event(self, name: str, **members: Any) -> dict[str, Any]:
        place = {"event": name, "planId": str(self.plan_id), "attempt": self.attempt, "seq": self.seq}
        return place | members

    def _progress(self) -> dict[str, Any]:
        return progress_of(min(99, self.seq)).model_dump(by_alias=True)

    async def _on_state(self, message: Msg) -> None:
        self.asked += 1
        if not self.silent:
            await message.respond(orjson.dumps(self.state()))

    async def _on_control(self, message: Msg) -> None:
        command = orjson.loads(message.data)["command"]
        self.commands.append(command)
        if command == "cancel" and not self.silent:
            status: Literal["partial", "failed"] = "partial" if self.document else "failed"
            await self._end("cancelled", False, status=status, plan=self.document)
            await message.respond(ControlReply(status=status).to_json())
