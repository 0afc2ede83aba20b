"""How the interval follows the load: bounded, monotonic, and without flapping."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from generator import pacing
from generator.pacing import (
    BUSY,
    BUSY_INTERVAL,
    FULL,
    LATE,
    LONGEST_INTERVAL,
    ORDINARY,
    PUNCTUAL,
    SPARE,
    TICK_SECONDS,
    WAITING,
    Pacer,
    interval_for,
    load_seconds,
)

BASE = 0.04
LOADS = st.floats(0, 1.2)
LAGS = st.floats(0, 10)
BASES = st.floats(0, 1)


@given(LOADS, LAGS, BASES)
def test_the_interval_is_bounded(load: float, lag: float, base: float) -> None:
    """From nothing to 200 ms; whoever sets more than that gets what was set."""
    assert 0 <= interval_for(load, lag, base) <= max(LONGEST_INTERVAL, base) + 1e-9


@given(st.tuples(LOADS, LOADS), st.tuples(LAGS, LAGS), st.tuples(BASES, BASES))
def test_more_load_is_no_shorter_interval(
    loads: tuple[float, float], lags: tuple[float, float], bases: tuple[float, float]
) -> None:
    """It never falls while load, lag or the setting rise."""
    less, more = (interval_for(pick(loads), pick(lags), pick(bases)) for pick in (min, max))
    assert less <= more + 1e-9


@pytest.mark.parametrize(
    ("load", "lag", "interval"),
    [
        (0.0, 0.0, 0.0),
        (SPARE, PUNCTUAL, 0.0),
        (ORDINARY, 0.0, BASE),
        ((ORDINARY + BUSY[0]) / 2, 0.0, (BASE + BUSY_INTERVAL) / 2),
        (BUSY[0], 0.0, BUSY_INTERVAL),
        (BUSY[1], 0.0, BUSY_INTERVAL),
        ((BUSY[1] + FULL) / 2, 0.0, (BUSY_INTERVAL + LONGEST_INTERVAL) / 2),
        (FULL, 0.0, LONGEST_INTERVAL),
        (0.0, (PUNCTUAL + LATE) / 2, LONGEST_INTERVAL / 2),
        (0.0, LATE, LONGEST_INTERVAL),
        (ORDINARY, LATE, LONGEST_INTERVAL),
    ],
)
def test_what_load_and_lag_ask_for(load: float, lag: float, interval: float) -> None:
    """Time to spare: every chunk at once. Ordinary: the setting. Busy: always the same. Full, or late: the longest.

    Between them the interval grows in straight lines.
    """
    assert interval_for(load, lag, BASE) == pytest.approx(interval)


def ticks(pacer: Pacer, number: int, load: float, late: float = 0.0) -> float:
    """The interval after so many ticks of this load, each so late."""
    for _ in range(number):
        elapsed = TICK_SECONDS + late
        pacer.take(elapsed, load * elapsed)
    return pacer.interval


def test_the_interval_stretches_and_relaxes_by_itself() -> None:
    """Some seconds after a change of load it is where it belongs; one busy tick changes little."""
    pacer = Pacer(BASE, lambda: None)
    assert ticks(pacer, 20, SPARE / 2) == 0
    assert ticks(pacer, 1, 0.5) < BASE
    assert ticks(pacer, 20, 0.9) == pytest.approx(LONGEST_INTERVAL)
    assert ticks(pacer, 20, ORDINARY) == pytest.approx(BASE, abs=0.01)
    assert ticks(pacer, 20, SPARE / 2) == 0


@pytest.mark.parametrize("plans", range(10, 500, 10))
def test_the_interval_settles(plans: int) -> None:
    """Longer intervals cost less, so the interval works on the load that it follows: that must not swing."""
    pacer = Pacer(BASE, lambda: None)
    tokens = plans * 50.0
    intervals: list[float] = []
    for _ in range(100):
        # 10 µs a token and 80 a read, of which there is one for each token or turn.
        reads = min(tokens, plans / max(pacer.interval, 1e-9))
        pacer.take(TICK_SECONDS, TICK_SECONDS * min(tokens * 10e-6 + reads * 80e-6, 1.0))
        intervals.append(pacer.interval)
    assert max(intervals[-20:]) - min(intervals[-20:]) < 0.02


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
    end = load_seconds() + seconds
    while load_seconds() < end:
        pass


def test_work_is_wanted_time() -> None:
    """The figure grows while this thread computes."""
    before = load_seconds()
    _spin(0.02)
    assert load_seconds() - before >= 0.02


@pytest.mark.parametrize("content", [None, "", "0 0 0\n", "nonsense"])
def test_without_scheduler_statistics(content: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system keeps none, the time that this process has run has to do."""
    path = tmp_path / "schedstat"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(pacing, "_SCHEDSTAT", path)
    before = load_seconds()
    _spin(0.02)
    assert load_seconds() - before >= 0.02


def test_waiting_for_a_core_is_some_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that is busy though not with us: what was waited for it counts in part."""
    path = tmp_path / "schedstat"
    path.write_text("1000000000 2000000000 77\n")
    monkeypatch.setattr(pacing, "_SCHEDSTAT", path)
    assert load_seconds() == 1 + WAITING * 2
