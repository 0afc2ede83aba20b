"""Ctrl-C while a plan is watched."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from planstream_client.blocking import Watch
from planstream_client.errors import PlanstreamError


@contextmanager
def first_interrupt_stops(watch: Watch, warn: Callable[[str], None]) -> Iterator[None]:
    """The first Ctrl-C stops the plan, whose end then comes over the stream; the second one ends the program.

    Args:
        watch: of the plan.
        warn: is told, in a sentence, that the plan could not be stopped.
    """

    def stop(*_: object) -> None:
        # Not what was there before: a shell that started us in the background has let it ignore the signal.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if watch.plan_id is None:
            raise KeyboardInterrupt
        # Not here: the stream's own connection is being read. And nobody waits for it who wants to leave.
        threading.Thread(target=_cancel, args=(watch, warn), daemon=True).start()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _cancel(watch: Watch, warn: Callable[[str], None]) -> None:
    try:
        watch.cancel()
    except PlanstreamError as error:
        if not watch.ended:
            warn(f"planstream: the plan could not be stopped: {error}")
