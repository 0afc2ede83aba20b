"""How the interval follows the load: bounded, monotonic, and without flapping."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import pacing
from generator.pacing import (
    BUSY,
    FULL,
    LATE,
    LONGEST_INTERVAL,
    SPARE,
    TICK_SECONDS,
    Pacer,
    interval_for,
    wanted_seconds,
)

BASE = 0.04
LOADS = st.floats(0, 1)
LAGS = st.floats(0, 10)
BASES = st.floats(0, 1)


@given(LOADS, LAGS, BASES, st.booleans())
def test_the_interval_is_bounded(load: float, lag: float, base: float, taking_turns: bool) -> None:
    """None, or from PROGRESS_INTERVAL_MS to 200 ms; whoever sets more than that gets what was set."""
    interval = interval_for(load, lag, base, taking_turns=taking_turns)
    assert interval == 0 or base <= interval <= max(LONGEST_INTERVAL, base) + 1e-9


@given(st.tuples(LOADS, LOADS), st.tuples(LAGS, LAGS), BASES, st.booleans())
def test_more_load_is_no_shorter_interval(
    loads: tuple[float, float], lags: tuple[float, float], base: float, taking_turns: bool
) -> None:
    """It never falls while load and lag rise, nor because plans take turns already."""
    less = interval_for(min(loads), min(lags), base, taking_turns=taking_turns)
    assert less <= interval_for(max(loads), max(lags), base, taking_turns=taking_turns)
    assert less <= interval_for(min(loads), min(lags), base, taking_turns=True)


@pytest.mark.parametrize(
    ("load", "lag", "taking_turns", "interval"),
    [
        (0.0, 0.0, False, 0.0),
        (BUSY - 0.01, 0.01, False, 0.0),
        (BUSY, 0.0, False, BASE),
        ((BUSY + FULL) / 2, 0.0, False, (BASE + LONGEST_INTERVAL) / 2),
        (FULL, 0.0, False, LONGEST_INTERVAL),
        (0.0, LATE, False, LONGEST_INTERVAL),
        (SPARE, 0.0, True, BASE),
        (SPARE, LATE / 2, True, (BASE + LONGEST_INTERVAL) / 2),
        (SPARE - 0.01, 0.0, True, 0.0),
    ],
)
def test_what_load_and_lag_ask_for(load: float, lag: float, taking_turns: bool, interval: float) -> None:
    """Time to spare: every chunk at once. Busy: the base. Full, or late: the longest. Between them in proportion."""
    assert interval_for(load, lag, BASE, taking_turns=taking_turns) == pytest.approx(interval)


def ticks(pacer: Pacer, number: int, load: float, late: float = 0.0) -> float:
    """The interval after so many ticks of this load, each so late."""
    for _ in range(number):
        elapsed = TICK_SECONDS + late
        pacer.take(elapsed, load * elapsed)
    return pacer.interval


def test_the_interval_stretches_and_relaxes_by_itself() -> None:
    """Within two seconds of a change of load it is where it belongs; one busy tick changes nothing."""
    pacer = Pacer(BASE, lambda: None)
    assert ticks(pacer, 8, 0.1) == 0
    assert ticks(pacer, 1, 0.7) == 0
    assert ticks(pacer, 8, 0.95) == pytest.approx(LONGEST_INTERVAL)
    assert BASE < ticks(pacer, 8, (BUSY + FULL) / 2) < LONGEST_INTERVAL
    assert ticks(pacer, 8, (SPARE + BUSY) / 2) == pytest.approx(BASE, abs=0.005)
    assert ticks(pacer, 8, 0.1) == 0


def test_taking_turns_does_not_flap() -> None:
    """Turns cost less than half, and that alone is no reason to stop taking them."""
    pacer = Pacer(BASE, lambda: None)
    assert ticks(pacer, 8, BUSY * 1.1) > 0
    assert ticks(pacer, 40, BUSY * 1.1 / 2.2) > 0


def test_a_gateways_lag_stretches_the_interval_and_fades() -> None:
    """It is believed for some seconds, in which another plan's poll brings news; the worst gateway counts."""
    pacer = Pacer(BASE, lambda: None)
    for lag in (0.0, 2 * LATE, LATE / 10):
        pacer.hear(lag)
    assert ticks(pacer, 4, 0.1) == LONGEST_INTERVAL
    assert ticks(pacer, int(pacing.GATEWAY_HALF_LIFE / TICK_SECONDS), 0.1) < LONGEST_INTERVAL
    assert ticks(pacer, int(4 * pacing.GATEWAY_HALF_LIFE / TICK_SECONDS), 0.1) == 0


def test_a_loop_that_stood_still_is_told() -> None:
    """Rule 7: a tick more than three seconds late makes the process a possible zombie; a late one does not."""
    frozen: list[bool] = []
    pacer = Pacer(BASE, lambda: frozen.append(True))
    ticks(pacer, 3, 1.0, late=2.5)
    assert frozen == []
    ticks(pacer, 1, 0.0, late=3.5)
    assert frozen == [True]


def _spin(seconds: float) -> None:
    end = wanted_seconds() + seconds
    while wanted_seconds() < end:
        pass


def test_work_is_wanted_time() -> None:
    """The figure grows while this thread computes."""
    before = wanted_seconds()
    _spin(0.02)
    assert wanted_seconds() - before >= 0.02


@pytest.mark.parametrize("content", [None, "", "0 0 0\n", "nonsense"])
def test_without_scheduler_statistics(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system keeps none, the time that this process has run has to do."""
    path = tmp_path / "schedstat"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(pacing, "_SCHEDSTAT", path)
    before = wanted_seconds()
    _spin(0.02)
    assert wanted_seconds() - before >= 0.02


def test_waiting_for_a_core_is_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that is busy though not with us: 1 s run and 2 s waited are 3 s wanted."""
    path = tmp_path / "schedstat"
    path.write_text("1000000000 2000000000 77\n")
    monkeypatch.setattr(pacing, "_SCHEDSTAT", path)
    assert wanted_seconds() == 3.0
