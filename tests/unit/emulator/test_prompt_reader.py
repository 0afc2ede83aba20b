"""Briefs are read from a prompt's blocks."""

import pytest

from openrouter_emulator.prompt_reader import Commitment, clip, guess_plan_brief, read_plan_brief, topics_of

PROMPT = """Write a plan.
<inputs>{"goals":["Run \\u003c 4 h","Learn Greek"],"focusAreas":["Fitness"],"availableHours":{"monday":2,"funday":3},
"fixedCommitments":[{"day":"monday","startTime":"09:00","endTime":"17:30","description":"Work"},{"day":"x"}],
"ambition":"ambitious","startDate":"2026-12-07","weeks":5}</inputs>
<task>{"summary": false, "weeks": [3, 4]}</task>"""


def test_the_blocks_are_read() -> None:
    """Inputs and task come from their blocks; what does not fit is skipped."""
    brief = read_plan_brief(PROMPT)
    assert brief is not None
    assert brief.goals == ("Run < 4 h", "Learn Greek")
    assert brief.focus_areas == ("Fitness",)
    assert brief.available_hours == {"monday": 2.0}
    assert brief.commitments == (Commitment("monday", 540, 1050, "Work"),)
    assert (brief.ambition, brief.start_date) == ("ambitious", "2026-12-07")
    assert (brief.summary, brief.weeks) == (False, (3, 4))


def test_the_last_task_wins() -> None:
    """A continuation may quote the first request."""
    brief = read_plan_brief(PROMPT + '\n<task>{"summary": true, "weeks": [5]}</task>')
    assert brief is not None
    assert (brief.summary, brief.weeks) == (True, (5,))


def test_without_a_task_the_whole_plan_is_asked_for() -> None:
    """All weeks of the inputs, and the summary; a goal may be one text."""
    brief = read_plan_brief('<inputs>{"goals": "  Read\\n more ", "weeks": 5}</inputs>')
    assert brief is not None
    assert brief.goals == ("Read more",)
    assert (brief.summary, brief.weeks) == (True, (1, 2, 3, 4, 5))


@pytest.mark.parametrize("prompt", ["hello", "<inputs></inputs>", "<inputs>{oops}</inputs>", "<inputs>[1]</inputs>"])
def test_a_foreign_prompt_has_no_brief(prompt: str) -> None:
    """No block, or none that holds a JSON object."""
    assert read_plan_brief(prompt) is None


def test_a_brief_is_guessed_from_words() -> None:
    """A foreign prompt's longest words become the focus areas."""
    brief = guess_plan_brief("Please help me to organise my kayaking expedition")
    assert brief.focus_areas == ("Organise", "Kayaking", "Expedition")
    assert brief.weeks == (1, 2, 3, 4)


def test_topics_keep_their_order_and_are_few() -> None:
    """Five different words at most."""
    assert topics_of("alpha bravo charlie delta1 echoes foxtrot golfer charlie about") == [
        "alpha",
        "charlie",
        "echoes",
        "foxtrot",
        "golfer",
    ]


def test_clip_cuts_between_words() -> None:
    """A cut is marked and never splits a word."""
    assert clip("one two three", 9) == "one two…"
