"""A plan while this process writes it: the draft, the numbered events, and what is published of them.

Everything here is synchronous, so nothing can come between an event and the state that it leads to.
"""

from asyncio import TimerHandle
from collections.abc import Callable
from typing import Any
from uuid import UUID

import orjson

from common import payloads
from common.contracts.events import Phase
from common.contracts.ops import Op
from generator import metrics
from generator.draft import Draft, Kept
from generator.identity import Saved
from generator.meter import Meter
from generator.plan_parser import ParseError

Clock = Callable[[], float]
CallLater = Callable[[float, Callable[[], None]], TimerHandle]


class LivePlan:
    """One attempt at a plan. `send` takes the bytes of an event.

    What is fed is published at once as one event; when upstream is read decides how much that is, and how often.
    """

    def __init__(
        self,
        plan_id: UUID,
        attempt: int,
        kept: Kept,
        meter: Meter,
        *,
        send: Callable[[bytes], None],
        clock: Clock,
        call_later: CallLater,
        save_soon: Callable[[], None],
    ) -> None:
        self.plan_id = plan_id
        self.attempt = attempt
        self.seq = 0
        self.meter = meter
        self.draft = Draft(meter.weeks_total, kept)
        # Not sure to be the owner any more: nothing is said until a fenced write has matched (rule 7).
        self.suspect = False
        self._over = False
        self._id = str(plan_id)
        self._send = send
        self._clock = clock
        self._call_later = call_later
        self._save_soon = save_soon
        self._trust_timer: TimerHandle | None = None
        self._terminal: bytes | None = None
        self._saved_seq = -1
        self._written = kept.document() is not None
        # Whether the present upstream answer has brought operations.
        self.grown = False
        # Whether a save is worth more than its turn, and when that is, on the clock.
        self.save_asked = False
        self.save_due = 0.0

    @property
    def ended(self) -> bool:
        """Whether the outcome is stored; from then on the terminal event is all there is to say."""
        return self._terminal is not None

    @property
    def document(self) -> Any:
        """What has been written, or None before the first operation."""
        return self.draft.value if self._written else None

    def open(self) -> None:
        """The attempt begins: a snapshot at seq 0."""
        self._publish(self._snapshot())

    def feed(self, text: str) -> None:
        """Take upstream text.

        Raises:
            generator.plan_parser.ParseError: it is not JSON.
        """
        try:
            self._take(self.draft.feed(text), len(text))
        except ParseError as error:
            self._take(error.ops, len(text))
            raise

    def _take(self, ops: list[Op], chars: int) -> None:
        self.meter.phase = "streaming"
        weeks = self.meter.weeks_completed
        self.meter.count(ops, chars, self._clock())
        if self.meter.weeks_completed != weeks or (ops and not self._written):
            # The first content, too: who ends the plan from elsewhere sees only what is stored.
            self.save_asked = True
            self._save_soon()
        if ops:
            if not self._written:
                metrics.FIRST_TOKEN.observe(self._clock() - self.meter.started_at)
            self._written = self.grown = True
            self._say_progress(ops)

    def _say_progress(self, ops: list[Op]) -> None:
        self.seq += 1
        if not self.suspect:
            self._send(payloads.progress(self._id, self.attempt, self.seq, ops, self.meter.read(self._clock())))

    def enter(self, phase: Phase) -> None:
        """Change the phase and let viewers see it."""
        if self.meter.phase != phase:
            self.meter.phase = phase
            self._say_progress([])

    def answer_anew(self) -> None:
        """Begin another answer on the same base; the present one has shown nothing, and may have begun all the same."""
        self.draft = Draft(self.meter.weeks_total, self.draft.kept)

    def restart(self, kept: Kept, phase: Phase) -> None:
        """Begin another answer on what is kept: a snapshot at the next seq drops the rest."""
        self.draft = Draft(self.meter.weeks_total, kept)
        self._written = kept.document() is not None
        self.grown = False
        self.meter.rewind(len(kept.weeks))
        self.meter.phase = phase
        self.seq += 1
        self._publish(self._snapshot())

    def state(self) -> bytes:
        """The answer to "how does it stand": a snapshot of exactly what was published, or the terminal event."""
        if self._terminal is not None:
            return self._terminal
        return self._snapshot()

    def _snapshot(self) -> bytes:
        return payloads.snapshot(self._id, self.attempt, self.seq, self.document, self.meter.read(self._clock()))

    def _publish(self, payload: bytes) -> None:
        if not self.suspect:
            self._send(payload)

    def distrust(self) -> None:
        """We may not be the owner any more: say nothing until a fenced write has matched."""
        self.suspect = True
        self.save_due = 0.0
        self._stop_trust()

    def trust_in(self, seconds: float) -> None:
        """A fenced write has matched: we are the owner. Say so after a while: viewers may have missed events."""
        if self.suspect and not self._over and self._trust_timer is None:
            self._trust_timer = self._call_later(seconds, self._trust)

    def _trust(self) -> None:
        self._trust_timer = None
        self.suspect = False
        self._send(self.state())

    def _stop_trust(self) -> None:
        if self._trust_timer is not None:
            self._trust_timer.cancel()
            self._trust_timer = None

    def to_save(self) -> Saved:
        """The row for the batch save: exactly what was published, or only the lease when nothing is new."""
        self.save_asked = False
        partial = None
        if self.seq != self._saved_seq:
            # Empty text clears what an earlier answer had written.
            partial = orjson.dumps(self.draft.value).decode() if self._written else ""
        progress = self.meter.read(self._clock(), stored=True)
        return Saved(self.plan_id, self.attempt, self.seq, partial, progress)

    def saved(self, row: Saved) -> None:
        """A fenced write of this row has matched."""
        self._saved_seq = max(self._saved_seq, row.seq)
        self.meter.stored(row.progress)

    def end(self, payload: bytes, seq: int) -> None:
        """The outcome is stored: publish the terminal event, which is the answer to everything from now on."""
        self._terminal = payload
        self.seq = seq
        self._over = True
        self._stop_trust()
        self._send(payload)

    def silence(self) -> None:
        """This attempt is over without an outcome of ours; say nothing any more."""
        self.suspect = self._over = True
        self._stop_trust()
