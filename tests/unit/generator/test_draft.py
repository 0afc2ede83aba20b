"""The draft: operations that fold to the document, kept parts, and re-based continuations."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.plan import DAYS
from common.fold import apply
from generator.draft import Draft, Kept, keep
from generator.meter import Meter


def week(number: int, text: str = "work") -> dict[str, Any]:
    """A valid week."""
    task = {"description": text, "focus_area": "x", "start_time": "09:00", "end_time": "10:00"}
    return {"week": number, "focus": text, "goals": [text], "daily_tasks": {day: [task] for day in DAYS}}


def document(weeks: int) -> dict[str, Any]:
    """A valid plan."""
    return {"monthly_summary": "All of it.", "weekly_breakdown": [week(n) for n in range(1, weeks + 1)]}


def feed(draft: Draft, text: str, size: int) -> Any:
    """Feed in pieces and fold what a viewer would."""
    held = json.loads(json.dumps(draft.kept.document()))
    for start in range(0, len(text), size):
        held = apply(held, draft.feed(text[start : start + size]))
        assert held == draft.value
    return held


@given(size=st.integers(1, 400))
def test_first_answer_folds_to_itself(size: int) -> None:
    """Without kept parts the viewer's document is the answer."""
    assert feed(Draft(2), json.dumps(document(2)), size) == document(2)


@given(cut=st.integers(0, 3000), size=st.integers(1, 200))
def test_continuation_completes_what_was_kept(cut: int, size: int) -> None:
    """Cut anywhere, keep, write the missing parts: the whole equals the uncut plan, and every step folds."""
    whole, total = document(4), 4
    text = json.dumps(whole)
    first = Draft(total)
    first.feed(text[: min(cut, len(text) - 1)])
    kept = first.keep()
    task = kept.task(total)
    answer: dict[str, Any] = {"weekly_breakdown": [week(number) for number in task.weeks]}
    if task.summary:
        answer = {"monthly_summary": "All of it."} | answer
    assert feed(Draft(total, kept), json.dumps(answer), size) == whole


def test_week_numbers_follow_the_index_and_a_surplus_is_dropped() -> None:
    """A continuation that counts from 1 and writes a week too many still gives exactly the plan's weeks."""
    kept = Kept("All of it.", (week(1), week(2)))
    answer = json.dumps({"weekly_breakdown": [week(1), week(2), week(3)], "extra": {"a": [1]}})
    assert feed(Draft(4, kept), answer, 7) == document(4)


def test_a_summary_still_growing_is_not_kept() -> None:
    """Only a summary that something follows is known to be complete."""
    assert keep({"monthly_summary": "All of"}, 4, complete=False) == Kept()
    assert keep({"monthly_summary": "All.", "weekly_breakdown": []}, 4, complete=False) == Kept("All.")


@pytest.mark.parametrize("broken", [{"week": 2}, week(3), week(2) | {"extra": 1}, None, "week"])
def test_weeks_are_kept_up_to_the_first_that_is_not_valid(broken: Any) -> None:
    """Leading weeks that validate singly stand; from the first other on everything is written again."""
    partial = {"monthly_summary": "All.", "weekly_breakdown": [week(1), broken, week(3)]}
    assert keep(partial, 4, complete=False).weeks == (week(1),)


def test_a_last_week_that_may_be_cut_off_is_not_kept() -> None:
    """It validates, and may lack half a sentence or a Sunday: only who knows that it is whole keeps it."""
    partial = {"monthly_summary": "All.", "weekly_breakdown": [week(1), week(2)]}
    assert keep(partial, 4, complete=False).weeks == (week(1),)
    assert keep(partial, 4, complete=True).weeks == (week(1), week(2))
    assert keep(partial | {"notes": ""}, 4, complete=False).weeks == (week(1), week(2))


@given(cut=st.integers(0, 3000))
def test_only_whole_weeks_are_kept(cut: int) -> None:
    """Cut anywhere: a week is kept if and only if its closing brace was written."""
    text = json.dumps(document(4))
    draft = Draft(4)
    draft.feed(text[:cut])
    ends = [text.index(f'{{"week": {number}') - len(", ") for number in (2, 3, 4)] + [len(text) - len("]}")]
    assert len(draft.keep().weeks) == sum(end <= cut for end in ends)


@given(cut=st.integers(0, 3000))
def test_on_kept_weeks_without_a_summary_only_what_is_whole_is_kept(cut: int) -> None:
    """The weeks came first: what the answer is at is cut off, be it the summary or a week, and nothing else."""
    answer = {"monthly_summary": "All of it.", "weekly_breakdown": document(4)["weekly_breakdown"][1:]}
    text = json.dumps(answer)
    draft = Draft(4, Kept(None, (week(1),)))
    draft.feed(text[:cut])
    kept = draft.keep()
    assert kept.summary == ("All of it." if cut > text.index("[") else None)
    ends = [text.index(f'{{"week": {number}') - len(", ") for number in (3, 4)] + [len(text) - len("]}")]
    assert len(kept.weeks) == 1 + sum(end <= cut for end in ends)
    stored = json.loads(json.dumps(draft.value))
    assert len(keep(stored, 4, complete=False).weeks) <= len(kept.weeks)


def test_a_week_whose_last_member_is_cut_off_is_not_kept() -> None:
    """A model may write the members in another order: then half a sentence validates."""
    last = {name: week(1)[name] for name in ("week", "goals", "daily_tasks", "focus")} | {"focus": "Work on the"}
    text = json.dumps({"monthly_summary": "All.", "weekly_breakdown": [last]})
    draft = Draft(4)
    draft.feed(text[: text.index(" on the")])
    assert draft.keep() == Kept("All.")


def test_what_an_answer_was_built_on_is_never_less() -> None:
    """A continuation that breaks at once, or is no plan at all, keeps what there was."""
    kept = Kept("All of it.", (week(1), week(2)))
    for text in ("", "{", '{"extra": {"a": [', '{"weekly_breakdown": [{"week": 3'):
        draft = Draft(4, kept)
        draft.feed(text)
        assert draft.keep() == kept
    assert not kept.is_whole(4)
    assert Kept("All of it.", (week(1), week(2))).is_whole(2)


@pytest.mark.parametrize("nothing", [None, [], "text", 7, {}])
def test_nothing_usable_keeps_nothing(nothing: Any) -> None:
    """What is not a plan's beginning is not built on."""
    assert keep(nothing, 4, complete=False) == Kept()


@pytest.mark.parametrize(
    "text",
    [
        '{"weekly_breakdown": {"week_1": {"week": 1}, "0": {"week": 2}}}',
        '{"monthly_summary": {"short": "x"}, "monthly_summary_note": "y", "weekly_breakdown": ["a", 7]}',
    ],
)
@pytest.mark.parametrize("kept", [Kept(), Kept("All of it.", (week(1),)), Kept(None, (week(1),))])
def test_a_document_of_another_shape_still_folds(text: str, kept: Kept) -> None:
    """Whatever a model writes in a plan's place, viewers hold what the owner holds, and the meter counts on."""
    draft, meter = Draft(4, kept), Meter(4, started_at=0)
    held = json.loads(json.dumps(kept.document()))
    for character in text:
        ops = draft.feed(character)
        meter.count(ops, 1, 1)
        held = apply(held, ops)
        assert held == draft.value
