"""Plans are valid, keep to the inputs, and are the same for the same prompt and seed."""

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.contracts.plan import DAYS, validate_plan
from openrouter_emulator.answer import random_of, write_answer
from openrouter_emulator.behaviours import Behaviour, ContentForm
from openrouter_emulator.chat_request import ChatRequest
from openrouter_emulator.plan_writer import kind_of, write_plan, write_prose
from openrouter_emulator.prompt_reader import PlanBrief, read_plan_brief
from openrouter_emulator.vocabulary import GENERAL, KINDS

MakeRequest = Callable[..., ChatRequest]

texts = st.text(min_size=1, max_size=200).filter(lambda text: text.strip() != "")
minutes = st.integers(0, 24 * 60 - 1)


@st.composite
def commitments(draw: st.DrawFn) -> dict[str, str]:
    """A commitment that ends after it starts."""
    start, end = sorted(draw(st.tuples(minutes, minutes).filter(lambda pair: pair[0] != pair[1])))
    return {
        "day": draw(st.sampled_from(DAYS)),
        "startTime": f"{start // 60:02}:{start % 60:02}",
        "endTime": f"{end // 60:02}:{end % 60:02}",
        "description": draw(texts),
    }


inputs = st.fixed_dictionaries(
    {"goals": st.one_of(texts, st.lists(texts, min_size=1, max_size=20))},
    optional={
        "focusAreas": st.lists(texts, max_size=20),
        "availableHours": st.dictionaries(st.sampled_from(DAYS), st.floats(0, 24)),
        "fixedCommitments": st.lists(commitments(), max_size=20),
        "ambition": st.sampled_from(["simple", "balanced", "ambitious"]),
        "startDate": st.just("2026-12-07"),
        "weeks": st.sampled_from([4, 5]),
    },
)


def prompt_of(given_inputs: dict[str, Any], task: dict[str, Any] | None = None) -> str:
    """The generator's two blocks."""
    return f"<inputs>{_escaped(given_inputs)}</inputs><task>{_escaped(task or {})}</task>"


def _escaped(value: dict[str, Any]) -> str:
    text = orjson.dumps(value).decode()
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def brief_of(**given_inputs: Any) -> PlanBrief:
    """A brief by way of a prompt."""
    brief = read_plan_brief(prompt_of({"goals": "Run a marathon", **given_inputs}))
    assert brief is not None
    return brief


def minutes_of(clock: str) -> int:
    """Minutes since midnight."""
    hours, _colon, rest = clock.partition(":")
    return int(hours) * 60 + int(rest)


@given(given_inputs=inputs, seed=st.integers(0, 1000))
def test_every_plan_is_valid_and_keeps_to_the_inputs(given_inputs: dict[str, Any], seed: int) -> None:
    """For any inputs: a plan of the right weeks, within the hours, clear of commitments, without overlaps."""
    brief = read_plan_brief(prompt_of(given_inputs))
    assert brief is not None
    document = orjson.loads(orjson.dumps(write_plan(brief, Random(seed))))
    validate_plan(document, given_inputs.get("weeks", 4))
    hours = given_inputs.get("availableHours") or dict.fromkeys(DAYS, 24.0)
    for week in document["weekly_breakdown"]:
        for day in DAYS:
            tasks = [(minutes_of(t["start_time"]), minutes_of(t["end_time"])) for t in week["daily_tasks"][day]]
            taken = [
                (minutes_of(c["startTime"]), minutes_of(c["endTime"]))
                for c in given_inputs.get("fixedCommitments", [])
                if c["day"] == day
            ]
            assert len(tasks) <= 3
            assert all(start < end for start, end in tasks)
            assert all(first[1] <= second[0] for first, second in pairwise(tasks))
            assert sum(end - start for start, end in tasks) <= hours.get(day, 0) * 60
            assert all(end <= busy[0] or busy[1] <= start for start, end in tasks for busy in taken)


@given(weeks=st.lists(st.integers(1, 5), unique=True, max_size=5), summary=st.booleans())
def test_the_task_is_obeyed(weeks: list[int], summary: bool) -> None:
    """Exactly the parts that were asked for, with their week numbers."""
    brief = read_plan_brief(prompt_of({"goals": "Run"}, {"summary": summary, "weeks": weeks}))
    assert brief is not None
    document = write_plan(brief, Random(1))
    assert list(document) == (["monthly_summary", "weekly_breakdown"] if summary else ["weekly_breakdown"])
    assert [week["week"] for week in document["weekly_breakdown"]] == weeks


@pytest.mark.parametrize("ambition", ["simple", "balanced", "ambitious"])
def test_a_plan_is_of_a_believable_length(ambition: str) -> None:
    """About 1,500 to 2,500 tokens of four characters."""
    for seed in range(20):
        brief = brief_of(ambition=ambition, focusAreas=["Fitness", "Career", "Spanish"])
        assert 1_500 <= len(orjson.dumps(write_plan(brief, Random(seed))).decode()) / 4 <= 2_500


def test_a_plan_names_goals_and_focus_areas() -> None:
    """All goals in the summary, each focus area in some task."""
    goals = ["Run a half marathon", "Learn Spanish for {area}", "Ship the prototype"]
    areas = ["Fitness", "Spanish", "Side project"]
    document = write_plan(brief_of(goals=goals, focusAreas=areas), Random(3))
    assert all(goal in document["monthly_summary"] for goal in goals)
    assert all(goal in orjson.dumps(document["weekly_breakdown"]).decode() for goal in goals)
    tasks = [t for week in document["weekly_breakdown"] for day in week["daily_tasks"].values() for t in day]
    assert {task["focus_area"] for task in tasks} == set(areas)


def test_ambition_changes_the_load() -> None:
    """Ambitious plans have more tasks than simple ones."""

    def tasks(ambition: str) -> int:
        documents = [write_plan(brief_of(ambition=ambition), Random(seed)) for seed in range(10)]
        weeks = [week for document in documents for week in document["weekly_breakdown"]]
        return sum(len(day) for week in weeks for day in week["daily_tasks"].values())

    assert tasks("simple") < tasks("balanced") < tasks("ambitious")


def test_answers_are_deterministic_and_differ(make_request: MakeRequest) -> None:
    """The same prompt and seed say the same; another prompt or seed something else."""

    def answer(prompt: str, own_seed: int = 0, **members: Any) -> str:
        request = make_request(prompt, **members)
        return write_answer(request, Behaviour(), random_of(request, own_seed))

    prompt = prompt_of({"goals": "Run"})
    assert answer(prompt) == answer(prompt)
    others = [answer(prompt + " "), answer(prompt, own_seed=1), answer(prompt, seed=9)]
    assert len({answer(prompt), *others}) == 4


def test_a_foreign_prompt_gets_prose_or_a_plan(make_request: MakeRequest) -> None:
    """Prose without a schema, a four-week plan with one; both name the prompt's words."""
    schema = {"type": "json_schema", "json_schema": {"name": "plan", "schema": {}}}
    prose_request = make_request("Tell me about kayaking in Norway")
    plan_request = make_request("Tell me about kayaking in Norway", response_format=schema)
    prose = write_answer(prose_request, Behaviour(), Random(1))
    plan = write_answer(plan_request, Behaviour(), Random(1))
    assert "kayaking" in prose
    assert not prose.startswith("{")
    assert "Kayaking" in plan
    validate_plan(orjson.loads(plan), 4)
    assert write_prose("", Random(1))


@pytest.mark.parametrize(
    ("form", "is_json", "is_plan"),
    [
        ("plain", True, True),
        ("pretty", True, True),
        ("fenced", False, False),
        ("prose_before", False, False),
        ("prose_after", False, False),
        ("trailing_comma", False, False),
        ("invalid_json", False, False),
        ("wrong_shape", True, False),
        ("invalid_plan", True, False),
        ("surplus_week", True, False),
        ("no_weeks", True, False),
    ],
)
def test_each_form_is_what_its_name_says(
    make_request: MakeRequest, form: ContentForm, is_json: bool, is_plan: bool
) -> None:
    """JSON or not, a plan or not."""
    request = make_request(prompt_of({"goals": "Run"}))
    text = write_answer(request, Behaviour(form=form), Random(1))
    assert _succeeds(lambda: orjson.loads(text)) == is_json
    assert _succeeds(lambda: validate_plan(orjson.loads(text), 4)) == is_plan


def _succeeds(check: Callable[[], object]) -> bool:
    try:
        check()
    except ValueError:
        return False
    return True


def test_kinds_are_told_by_their_words() -> None:
    """The word that comes first decides; word parts inside other words do not count."""
    assert "fitness" in kind_of("Fitness").words
    assert "spanish" in kind_of("Learn Spanish by reading").words or "learn" in kind_of("Learn Spanish").words
    assert kind_of("Zyx") is GENERAL
    assert kind_of("Prune") is GENERAL


def test_every_kind_can_be_drawn_from() -> None:
    """Enough actions for a week without a repetition, and three details to add."""
    assert all(len(kind.actions) >= 6 and len(kind.details) >= 3 for kind in (*KINDS, GENERAL))
