"""No end is ever lost: watched plans that have gone silent are looked up in the generators' rows.

One query for all of them, over HTTP, so that it also works while NATS is down; it tells the owners as well that
somebody is watching (DESIGN section 6, rules 6 and 10).
"""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Final
from uuid import UUID

import structlog

from common.broker import Broker
from common.contracts.internal import PlanView
from common.generator_client import GeneratorClient, GeneratorUnavailableError
from stream_gateway.attach import Attachment
from stream_gateway.cursor import Cursor
from stream_gateway.hub import Hub
from stream_gateway.plan_event import event_of_view

_log = structlog.get_logger(__name__)

TICK_SECONDS: Final = 0.25
FIRST_SECONDS: Final = 1.0  # rule 5: once more after the attach, whatever the owner said
SILENCE_SECONDS: Final = 3.0
LONGEST_SECONDS: Final = 15.0
# Between two plans that are asked about when NATS is back, and at most for all of them together.
RETURN_PAUSE_SECONDS: Final = 0.005
LONGEST_RETURN_SECONDS: Final = 2.0
BRIEF_CHUNK: Final = 500
WHOLE_CHUNK: Final = 50


class Patience:
    """When to ask about one plan: one second after the attach, then after silence, less and less often. Pure."""

    __slots__ = ("_asked_at", "_due", "_wait")

    def __init__(self, now: float) -> None:
        self._due = now + FIRST_SECONDS
        self._wait = SILENCE_SECONDS
        self._asked_at: float | None = None

    def is_due(self, now: float, advanced_at: float) -> bool:
        """Whether to ask now; `advanced_at` is when the plan last moved."""
        if self._asked_at is not None and advanced_at > self._asked_at:
            self._wait = SILENCE_SECONDS
            self._due = advanced_at + SILENCE_SECONDS
        return now >= self._due

    def asked(self, now: float) -> None:
        """The question has been put."""
        self._asked_at = now
        self._due = now + self._wait
        self._wait = min(self._wait * 2, LONGEST_SECONDS)


class Watchdog:
    """Asks for all watched plans of a gateway."""

    def __init__(self, hub: Hub, broker: Broker, generators: GeneratorClient) -> None:
        self._hub = hub
        self._broker = broker
        self._generators = generators
        self._patience: dict[Attachment, Patience] = {}
        self._reconnects = 0
        self._unreachable = False

    async def run(self) -> None:
        """Tick for ever."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            await self.tick()

    async def tick(self) -> None:
        """Look after every watched plan once."""
        watched = [attachment for attachment in self._hub if not attachment.channel.ended]
        self._reattach(watched)
        due = self._due(watched, asyncio.get_running_loop().time())
        brief = self._broker.connected
        for chunk in _chunks(due, BRIEF_CHUNK if brief else WHOLE_CHUNK):
            await self._ask(chunk, brief=brief)
            if self._unreachable:
                # Each of the others would wait as long; they are asked when they are due again.
                break

    def _reattach(self, watched: Sequence[Attachment]) -> None:
        """What was published while we were away is lost to us: every plan is asked about again."""
        connected = self._broker.connected
        returned = connected and self._broker.reconnects != self._reconnects
        if connected:
            self._reconnects = self._broker.reconnects
        ask_later = asyncio.get_running_loop().call_later
        pause = min(RETURN_PAUSE_SECONDS, LONGEST_RETURN_SECONDS / max(len(watched), 1))
        for number, attachment in enumerate(watched if returned else ()):
            # One after the other: owners do not answer before they know that they still are, and so many rows would
            # be read at once that the save which tells them had to wait.
            ask_later(number * pause, attachment.ask)
        for attachment in watched:
            if attachment.channel.outrun or (connected and not attachment.subscribed):
                attachment.ask()

    def _due(self, watched: Sequence[Attachment], now: float) -> list[Attachment]:
        known = self._patience
        self._patience = {attachment: known.get(attachment) or Patience(now) for attachment in watched}
        due = []
        for attachment, patience in self._patience.items():
            if patience.is_due(now, attachment.channel.advanced_at):
                patience.asked(now)
                due.append(attachment)
        return due

    async def _ask(self, attachments: Sequence[Attachment], *, brief: bool) -> None:
        ids = [attachment.channel.plan_id for attachment in attachments]
        try:
            rows = await self._generators.query(ids, watched=True, brief=brief)
        except GeneratorUnavailableError as error:
            if not self._unreachable:
                _log.warning("watchdog.unanswered", plans=len(ids), error=str(error))
            self._unreachable = True
            return
        self._unreachable = False
        _log.debug("watchdog.asked", plans=len(ids), brief=brief, rows=len(rows))
        moved = [attachment for attachment in attachments if _is_newer(attachment, rows)]
        if brief:
            for chunk in _chunks(moved, WHOLE_CHUNK):
                await self._ask(chunk, brief=False)
            return
        for attachment in moved:
            event = event_of_view(rows[attachment.channel.plan_id])
            if event is not None:
                attachment.channel.take(event)


def _chunks(attachments: Sequence[Attachment], size: int) -> Iterator[Sequence[Attachment]]:
    for start in range(0, len(attachments), size):
        yield attachments[start : start + size]


def _is_newer(attachment: Attachment, rows: dict[UUID, PlanView]) -> bool:
    channel = attachment.channel
    view = rows.get(channel.plan_id)
    if view is None:
        return False
    at = Cursor(view.attempt, view.seq)
    return view.ended_as is not None or (view.attempt > 0 and (channel.at is None or at > channel.at))
