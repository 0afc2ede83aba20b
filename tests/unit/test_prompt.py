"""The prompt: what it holds, and that no text can leave its block."""

import re
from datetime import date
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.inputs import FixedCommitment, PlanInputs, Preferences
from generator.prompt import WritingTask, messages_for, repair_messages_for

BLOCKS = ("inputs", "task", "kept", "invalid", "problems")
WHOLE = WritingTask(summary=True, weeks=(1, 2, 3, 4))
PREFERENCES = Preferences(
    goals=["Run 10 km"],
    focus_areas=["Running"],
    available_hours={"monday": 2.0},
    fixed_commitments=[FixedCommitment(day="friday", start_time="09:00", end_time="10:00", description="Yoga")],
    start_date=date(2026, 12, 1),
)

# Fences, entities and words of the blocks come up often; so do all other characters that JSON can carry.
texts = st.text(min_size=1).filter(lambda text: bool(re.search(r"\S", text)))
attacks = st.lists(
    st.sampled_from(
        ["<", ">", "/", "&", "</inputs>", "<task>", "</task>", "</kept>", "<problems>", "\\", '"', "\\u003c"]
    )
    | texts
).map("".join)
written = attacks.map(lambda text: "X" + text[:190].replace("\0", ""))
hostile = attacks.filter(lambda text: bool(re.search(r"\S", text))).map(lambda text: "X" + text[:190])


def read_block(content: str, name: str) -> Any:
    """The one block of that name, parsed."""
    found = re.findall(rf"<{name}>([^<>]*)</{name}>", content)
    assert len(found) == 1
    return orjson.loads(found[0])


def outside(content: str) -> str:
    """The text with its blocks taken out."""
    return re.sub(rf"<({'|'.join(BLOCKS)})>[^<>]*</\1>", "", content)


def test_messages() -> None:
    """One system message, one user message with the two blocks in wire names."""
    system, user = messages_for(PREFERENCES, WHOLE)
    assert (system["role"], user["role"]) == ("system", "user")
    assert read_block(user["content"], "task") == {"summary": True, "weeks": [1, 2, 3, 4]}
    assert read_block(user["content"], "inputs") == {
        "goals": ["Run 10 km"],
        "focusAreas": ["Running"],
        "availableHours": {"monday": 2.0},
        "fixedCommitments": [{"day": "friday", "startTime": "09:00", "endTime": "10:00", "description": "Yoga"}],
        "ambition": "balanced",
        "startDate": "2026-12-01",
        "weeks": 4,
    }


def test_the_user_is_not_named() -> None:
    """Whose the inputs are is not sent to the model."""
    inputs = PlanInputs(goals="g", user_id="6f9619ff-8b86-4d01-b42d-00cf4fc964ff")
    assert "6f9619ff" not in str(messages_for(inputs, WHOLE))


def test_continuation() -> None:
    """A continuation carries what is kept and asks for the missing weeks alone."""
    kept = {"monthly_summary": "S", "weekly_breakdown": [{"week": 1, "focus": "F"}]}
    _, user = messages_for(PREFERENCES, WritingTask(summary=False, weeks=(2, 3, 4), kept=kept))
    assert read_block(user["content"], "task") == {"summary": False, "weeks": [2, 3, 4]}
    assert read_block(user["content"], "kept") == kept


def test_no_kept_block_without_kept() -> None:
    """A first call has no empty block."""
    assert "<kept>" not in messages_for(PREFERENCES, WHOLE)[1]["content"]


def test_repair() -> None:
    """A repair carries the unusable answer and what was wrong with it, both bounded."""
    _, user = repair_messages_for(PREFERENCES, WHOLE, '{"monthly_summary": ' + "x" * 100_000, ["no weeks"] * 50)
    assert read_block(user["content"], "problems") == ["no weeks"] * 20
    assert len(read_block(user["content"], "invalid")) == 60_000
    assert read_block(user["content"], "task") == {"summary": True, "weeks": [1, 2, 3, 4]}


def test_no_fence_in_the_rules() -> None:
    """The rules name the blocks without brackets, so that a fence only ever stands around data."""
    assert not set("<>") & set(messages_for(PREFERENCES, WHOLE)[0]["content"])


@pytest.mark.parametrize("half", ["\ud83c", "a\udfafb"])
def test_half_a_character(half: str) -> None:
    """Half a surrogate pair in a model's text does not break the repair."""
    _, user = repair_messages_for(PREFERENCES, WHOLE, half, [half])
    assert "?" in read_block(user["content"], "invalid")


@given(goals=written, area=written, commitment=written, kept=hostile, invalid=hostile, problem=hostile)
def test_no_text_leaves_its_block(
    goals: str, area: str, commitment: str, kept: str, invalid: str, problem: str
) -> None:
    """Whatever a user or a model wrote comes back from its block unchanged, and nothing of it stands outside."""
    preferences = Preferences(
        goals=goals,
        focus_areas=[area],
        fixed_commitments=[FixedCommitment(day="monday", start_time="09:00", end_time="10:00", description=commitment)],
    )
    document = {"monthly_summary": kept, kept: [kept]}
    task = WritingTask(summary=False, weeks=(2,), kept=document)
    system, user = repair_messages_for(preferences, task, invalid, [problem])
    content = user["content"]
    harmless_system, harmless = repair_messages_for(PREFERENCES, task, "", [])
    assert system == harmless_system
    assert outside(content) == outside(harmless["content"])
    assert re.findall(r"<[^>]*>", content) == [tag for name in BLOCKS for tag in (f"<{name}>", f"</{name}>")]
    inputs = read_block(content, "inputs")
    assert (inputs["goals"], inputs["focusAreas"]) == (goals, [area])
    assert inputs["fixedCommitments"][0]["description"] == commitment
    assert read_block(content, "kept") == document
    assert read_block(content, "invalid") == invalid
    assert read_block(content, "problems") == [problem]
