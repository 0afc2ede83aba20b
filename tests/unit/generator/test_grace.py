"""The grace period of a plan that ends with its viewers."""

import pytest

from generator.grace import POLL_SECONDS, Grace


def test_nobody_for_the_whole_period_expires() -> None:
    """Rule 10: the clock starts with the first poll that finds nobody, and asks again just before it runs out."""
    grace = Grace(30, now=0, had_viewers=True)
    grace.left(5)
    assert grace.due(5)
    grace.nobody(5)
    assert not grace.expired(34)
    assert grace.due(35)
    assert grace.expired(35)


def test_a_viewer_who_comes_back_stops_the_clock() -> None:
    """Somebody watching resets everything."""
    grace = Grace(30, now=0, had_viewers=True)
    grace.nobody(10)
    grace.somebody(30)
    assert not grace.expired(1000)


def test_zero_means_at_once() -> None:
    """As in the guide: the last viewer's leaving ends the plan."""
    grace = Grace(0, now=0, had_viewers=True)
    grace.left(3)
    grace.nobody(3)
    assert grace.expired(3)


@pytest.mark.parametrize("now", [0, 10, 1e9])
def test_negative_means_never(now: float) -> None:
    """-1, and every plan that is to be written on without viewers, is not even polled."""
    grace = Grace(-1, now=0)
    grace.left(0)
    grace.nobody(0)
    assert not grace.due(now)
    assert not grace.expired(now)


def test_three_silences_count_as_absent() -> None:
    """Rule 10: a gateway that does not answer is asked again before it counts."""
    grace = Grace(0, now=0, had_viewers=True)
    for _ in range(2):
        grace.silence(POLL_SECONDS)
        assert grace.due(POLL_SECONDS)
        assert not grace.expired(POLL_SECONDS)
    grace.silence(POLL_SECONDS)
    assert grace.expired(POLL_SECONDS)


def test_silence_at_the_end_is_asked_about_again() -> None:
    """Rule 10: who came back is not lost to one late answer; only a third silence ends what nobody had watched."""
    grace = Grace(30, now=0, had_viewers=True)
    grace.nobody(5)
    grace.silence(36)
    assert not grace.expired(36)
    assert grace.due(36)
    grace.somebody(37)
    assert not grace.expired(1000)
    grace.nobody(1001)
    for _ in range(2):
        grace.silence(1032)
        assert not grace.expired(1032)
    grace.silence(1032)
    assert grace.expired(1032)


def test_silences_are_counted_in_a_row() -> None:
    """Rule 10: an answer between them begins the count anew."""
    grace = Grace(0, now=0)
    for answer in (grace.nobody, grace.somebody):
        grace.silence(10)
        grace.silence(10)
        answer(10)
    grace.silence(20)
    assert not grace.expired(20)


def test_outage_starts_the_clock_again() -> None:
    """Rule 10: while nobody could be heard, nobody was absent."""
    grace = Grace(30, now=0, had_viewers=True)
    grace.nobody(10)
    grace.restart(100)
    assert not grace.expired(129)
    assert grace.expired(130)


def test_a_word_over_http_counts_when_it_is_newer() -> None:
    """Rule 10: a gateway that asked over HTTP after the clock had started has viewers."""
    grace = Grace(30, now=0, had_viewers=True)
    grace.nobody(10)
    grace.watched(ago=20, now=25)
    assert grace.expired(40)
    grace.watched(ago=1, now=39)
    assert not grace.expired(40)


def test_the_clock_waits_for_a_first_viewer() -> None:
    """A plan that nobody has watched yet is not ended for want of viewers; once one has been there, it may be."""
    grace = Grace(30, now=0)
    grace.nobody(10)
    assert not grace.expired(1000)
    grace.somebody(45)
    grace.nobody(60)
    assert grace.expired(90)


def test_a_short_return_starts_the_clock_again() -> None:
    """Who comes back and leaves between two polls was there: the period counts from the last leaving."""
    grace = Grace(6, now=0)
    grace.left(0)
    grace.nobody(0)
    grace.left(5.4)
    grace.nobody(5.4)
    assert not grace.expired(7)
    assert grace.expired(11.4)


@pytest.mark.parametrize("watched", [True, False])
def test_gateways_are_asked_every_ten_seconds(watched: bool) -> None:
    """Rule 10: the owner polls on its own, too: a gateway that died cannot say that its viewers have left."""
    grace, polls = Grace(30, now=0), []
    for now in range(41):
        if grace.due(now):
            polls.append(now)
            (grace.somebody if watched else grace.nobody)(now)
    assert polls == [10, 20, 30, 40]


def test_gateways_are_asked_just_before_the_end() -> None:
    """Rule 10: a short period does not wait for the next poll, and no plan is ended on an old answer."""
    grace = Grace(3, now=0, had_viewers=True)
    grace.nobody(5)
    assert not grace.due(7.9)
    assert grace.due(8)
    grace.somebody(8)
    assert not grace.expired(8)


def test_who_started_it_may_have_gone_before_it_was_claimed() -> None:
    """Rule 10: its leaving was said to nobody, so the gateways are asked soon, and their silence starts the clock."""
    grace = Grace(3, now=0, had_viewers=True)
    assert not grace.due(1.9)
    assert grace.due(2)
    grace.nobody(2)
    assert not grace.expired(4.9)
    assert grace.expired(5)
