"""Does it stream? A plan is started and watched with a clock, then stopped."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from planstream_client.blocking import Planstream
from planstream_client.events import Event

# Of the server's time: enough to tell a stream from what was held back and sent at once.
WATCHED_SECONDS = 2.0
# Of the time that the server took for some events, they may arrive in so much less before somebody has held them back.
HELD_BACK = 0.5


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str


def check(client: Planstream) -> Iterator[Finding]:
    """What is found, one after the other.

    Raises:
        PlanstreamError: the server refuses or cannot be reached.
    """
    preference_id = client.save_inputs("Check that plans are streamed as they are written")
    yield Finding("server", True, "it answers, and takes inputs")
    began, arrivals, events = time.monotonic(), list[tuple[float, float]](), list[Event]()
    watch = client.start(preference_id, on_disconnect="abort")
    for event in watch:
        events.append(event)
        if event.name == "progress":
            arrivals.append((time.monotonic(), event.data["progress"]["elapsedMs"] / 1000))
        if event.terminal or (arrivals and arrivals[-1][1] - arrivals[0][1] > WATCHED_SECONDS):
            break
    if not watch.ended:
        watch.cancel()
    yield valid(events)
    if watch.error is not None and not arrivals:
        yield Finding("model", False, f"{watch.error['message']} ({watch.error['code']})")
        return
    if not arrivals:
        yield Finding("model", False, "no text came")
        return
    yield Finding("model", True, f"the first text came after {arrivals[0][0] - began:.1f} s")
    yield flowing(arrivals, watch.reconnects)


def valid(events: list[Event]) -> Finding:
    """Whether the stream is what the protocol says. Pure."""
    if not events or events[0].name != "connected":
        return Finding("stream", False, "it does not begin with `connected`: something between answers in its own way")
    places = [(event.data["attempt"], event.data["seq"]) for event in events[1:] if event.name != "connected"]
    if places != sorted(set(places)):
        return Finding("stream", False, "events are repeated or out of order")
    return Finding("stream", True, f"{len(events)} events, in order")


def flowing(arrivals: list[tuple[float, float]], reconnects: int) -> Finding:
    """Whether events came when they were written; pairs of (arrived, written), seconds of two clocks. Pure."""
    (first, written_first), (last, written_last) = arrivals[0], arrivals[-1]
    took, wrote = last - first, written_last - written_first
    if wrote > 0.2 and took < wrote * HELD_BACK:
        held = f"what was written within {wrote:.1f} s arrived within {took:.1f} s: a proxy holds the stream back. "
        mend = "Turn its buffering and compression off for text/event-stream (nginx: proxy_buffering off)"
        return Finding("proxy", False, held + mend)
    if reconnects:
        return Finding(
            "proxy", False, f"the connection was cut {reconnects} times: a proxy's read timeout is too short"
        )
    return Finding("proxy", True, f"events arrive as they are written ({len(arrivals)} in {took:.1f} s)")
