"""What a person sees while a plan is written, and in the end."""

import json
import sys
from collections.abc import Iterator
from typing import Any, TextIO

from planstream_client.events import Event
from planstream_client.state import PlanState

DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_WIDTH = 30
_PHASES: dict[str, str] = {
    "queued": "waiting for a free writer",
    "connecting": "asking the model",
    "streaming": "writing",
    "retrying": "asking the model again",
    "validating": "checking the plan",
}


class JsonLines:
    """For scripts: every event."""

    def show(self, event: Event, _: PlanState) -> None:
        """One line."""
        print(json.dumps({"event": event.name, "id": event.id, "data": event.data}, ensure_ascii=False), flush=True)

    def warn(self, text: str) -> None:
        """What is no event goes beside them."""
        print(text, file=sys.stderr, flush=True)

    def close(self, _: PlanState) -> None:
        """Nothing more: the last event has it all."""


class Plain:
    """Where nobody draws: a line for each phase and each week, then the plan."""

    def __init__(self, out: TextIO = sys.stderr) -> None:
        self._out = out
        self._said = ""

    def show(self, event: Event, state: PlanState) -> None:
        """A line when there is something new to say."""
        said = _PHASES.get(state.phase or "", "")
        if state.progress is not None and state.progress["weeksCompleted"]:
            said = f"{state.progress['weeksCompleted']} of {state.progress['weeksTotal']} weeks"
        if said and said != self._said and not event.terminal:
            self._said = said
            print(said, file=self._out, flush=True)

    def warn(self, text: str) -> None:
        """A line."""
        print(text, file=self._out, flush=True)

    def close(self, state: PlanState) -> None:
        """The plan, on standard output, and how it ended."""
        print("\n".join(lines(state.plan)), flush=True)
        print(ending(state), file=self._out, flush=True)


class Live(Plain):
    """In a terminal: one line that is drawn again and again."""

    def show(self, _: Event, state: PlanState) -> None:
        """Draw it."""
        if state.progress is None:
            return
        progress = state.progress
        done = round(_WIDTH * state.percent / 100)
        bar = "█" * done + "░" * (_WIDTH - done)
        speed, seconds = progress["tokensPerSecond"], progress["elapsedMs"] // 1000
        text = f"{bar} {state.percent:3.0f} %  {speed:3.0f} tokens/s  {seconds // 60}:{seconds % 60:02}  "
        self._out.write(f"\r\x1b[2K{text}{_PHASES.get(state.phase or '', '')}")
        self._out.flush()

    def warn(self, text: str) -> None:
        """In the place of the one that is drawn, which comes again below."""
        self._out.write("\r\x1b[2K")
        super().warn(text)

    def close(self, state: PlanState) -> None:
        """Leave the terminal as it was."""
        self._out.write("\r\x1b[2K")
        super().close(state)


def view_for(*, as_json: bool) -> JsonLines | Plain:
    """What suits where it is shown."""
    if as_json:
        return JsonLines()
    return Live() if sys.stderr.isatty() else Plain()


def ending(state: PlanState) -> str:
    """How it ended, in words."""
    if state.error is not None:
        return f"The plan failed: {state.error['message']} ({state.error['code']})"
    return {"completed": "The plan is complete.", "partial": "The plan was stopped; this is what there was."}.get(
        state.status, "The plan was stopped."
    )


def printable(text: object) -> str:
    """What the model wrote, without what would steer a terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in str(text))


def lines(plan: Any) -> Iterator[str]:
    """A plan, however far it is written, as text."""
    if not isinstance(plan, dict):
        return
    yield printable(plan.get("monthly_summary", ""))
    for number, week in enumerate(plan.get("weekly_breakdown") or [], 1):
        yield ""
        yield f"Week {week.get('week', number)}: {printable(week.get('focus', ''))}"
        yield from (f"  * {printable(goal)}" for goal in week.get("goals") or [])
        for day in DAYS:
            for task in (week.get("daily_tasks") or {}).get(day) or []:
                when = f"{task.get('start_time', '')}-{task.get('end_time', '')}"
                yield f"  {day:9} {printable(when)}  {printable(task.get('description', ''))}"
