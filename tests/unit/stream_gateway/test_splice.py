"""The joining of events by (attempt, seq): every position against every kind of event, and the laws behind."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream_gateway.cursor import Cursor
from stream_gateway.splice import Decision, Ended, Fresh, Kind, Live, Position, Torn, resume, splice

AT = Cursor(2, 5)


def _decide(position: Position, kind: Kind, attempt: int, seq: int) -> Decision:
    return splice(position, kind, Cursor(attempt, seq))


@pytest.mark.parametrize(
    ("kind", "attempt", "seq", "expected"),
    [
        ("snapshot", 1, 9, "drop"),
        ("snapshot", 2, 4, "drop"),
        ("snapshot", 2, 5, "drop"),
        ("snapshot", 2, 6, "replace"),
        ("snapshot", 2, 9, "replace"),
        ("snapshot", 3, 0, "replace"),
        ("progress", 1, 6, "drop"),
        ("progress", 2, 4, "drop"),
        ("progress", 2, 5, "drop"),
        ("progress", 2, 6, "apply"),
        ("progress", 2, 7, "ask"),
        ("progress", 3, 1, "ask"),
        ("progress", 3, 6, "ask"),
        ("terminal", 1, 9, "drop"),
        ("terminal", 2, 3, "end"),
        ("terminal", 2, 6, "end"),
        ("terminal", 2, 9, "end"),
        ("terminal", 3, 1, "end"),
    ],
)
def test_what_an_event_means_to_a_live_plan(kind: Kind, attempt: int, seq: int, expected: Decision) -> None:
    """Rule 5: old is dropped, the next is applied, a gap asks, a newer snapshot replaces, and an end is an end."""
    assert _decide(Live(AT), kind, attempt, seq) == expected


def test_a_fresh_plan_takes_a_state_but_no_delta() -> None:
    """Rule 5: before the first snapshot operations have nothing to stand on."""
    assert _decide(Fresh(), "snapshot", 1, 7) == "replace"
    assert _decide(Fresh(), "terminal", 1, 7) == "end"
    assert _decide(Fresh(), "progress", 1, 1) == "ask"


@pytest.mark.parametrize(
    ("kind", "attempt", "seq", "expected"),
    [
        ("snapshot", 2, 4, "drop"),
        ("snapshot", 2, 5, "replace"),
        ("snapshot", 3, 0, "replace"),
        ("snapshot", 1, 9, "drop"),
        ("progress", 2, 5, "drop"),
        ("progress", 2, 6, "ask"),
        ("terminal", 2, 6, "end"),
        ("terminal", 1, 6, "drop"),
    ],
)
def test_a_torn_plan_is_mended_by_a_snapshot_alone(kind: Kind, attempt: int, seq: int, expected: Decision) -> None:
    """No operation is applied to a document that is not to be trusted, and it never goes back."""
    assert _decide(Torn(AT), kind, attempt, seq) == expected


@given(st.sampled_from(["snapshot", "progress", "terminal"]), st.integers(0, 9), st.integers(0, 9))
def test_after_the_end_nothing_counts(kind: Kind, attempt: int, seq: int) -> None:
    """There is exactly one terminal event."""
    assert _decide(Ended(AT), kind, attempt, seq) == "drop"


_ARRIVALS = st.lists(
    st.tuples(st.sampled_from(["snapshot", "progress", "terminal"]), st.integers(0, 3), st.integers(0, 6)), max_size=30
)


@given(_ARRIVALS)
def test_a_plan_never_goes_back(arrivals: list[tuple[Kind, int, int]]) -> None:
    """Rule 5: whatever arrives in whatever order, no attempt falls, and in one only an end may have a lower seq."""
    position: Position = Fresh()
    for kind, attempt, seq in arrivals:
        at = Cursor(attempt, seq)
        match splice(position, kind, at):
            case "replace" | "apply":
                assert not isinstance(position, Live) or at > position.at
                position = Live(at)
            case "end":
                assert not isinstance(position, Live) or at.attempt >= position.at.attempt
                position = Ended(at)
            case "drop" | "ask":
                pass


def test_what_a_viewer_is_owed_first() -> None:
    """There: the next event. Behind: the state. Ahead: that has to be asked. It has the end already: nothing."""
    assert resume(Fresh(), AT) == "wait"
    assert resume(Torn(AT), AT) == "wait"
    assert resume(Live(AT), AT) == "continue"
    for cursor in (None, Cursor(2, 4), Cursor(1, 9)):
        assert resume(Live(AT), cursor) == "snapshot"
        assert resume(Ended(AT), cursor) == "terminal"
    for cursor in (Cursor(2, 6), Cursor(3, 0)):
        assert resume(Live(AT), cursor) == "ahead"
        assert resume(Ended(AT), cursor) == "terminal"
    assert resume(Ended(AT), AT) == "nothing"


@pytest.mark.parametrize(
    "text", ["", "1", "1.", ".1", "1.2.3", "-1.2", "1.-2", "01.2", "1.2\n", "a.b", "\uff11.\uff12", "9" * 12 + ".1"]
)
def test_a_malformed_cursor_is_none(text: str) -> None:
    """Only `<attempt>.<seq>` counts."""
    assert Cursor.parse(text) is None


@given(st.integers(0, 2**31), st.integers(0, 2**31))
def test_a_cursor_reads_back(attempt: int, seq: int) -> None:
    """What is written as an id is read from a Last-Event-ID."""
    assert Cursor.parse(str(Cursor(attempt, seq))) == (attempt, seq)
