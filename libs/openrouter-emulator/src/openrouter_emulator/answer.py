"""The text of an answer: the plan, the prose, or one of the ways in which models get it wrong. Pure."""

import hashlib
from random import Random
from typing import Any

import orjson

from openrouter_emulator.behaviours import Behaviour, ContentForm
from openrouter_emulator.chat_request import ChatRequest
from openrouter_emulator.plan_writer import write_plan, write_prose
from openrouter_emulator.prompt_reader import guess_plan_brief, read_plan_brief

REASONING = (
    "We need a plan that fits the hours and the goals, so first count what each day can hold, then place the work. "
)


def random_of(request: ChatRequest, seed: int) -> Random:
    """The random source of a request: the same prompt and seeds give the same answer."""
    digest = hashlib.sha256(f"{seed}:{request.seed}:{request.prompt}".encode("utf-8", "surrogatepass")).digest()
    return Random(digest)  # noqa: S311 -- varied sentences, not secrets


def write_answer(request: ChatRequest, behaviour: Behaviour, random: Random) -> str:
    """What the model says in `content`."""
    if behaviour.content is not None:
        return behaviour.content
    brief = read_plan_brief(request.prompt)
    if brief is None and not request.wants_schema:
        return write_prose(request.last_user_message, random)
    document = write_plan(brief or guess_plan_brief(request.last_user_message), random)
    return _in_form(document, behaviour.form)


def split_tokens(text: str, size: int) -> list[str]:
    """Pieces of `size` characters; only the last may be shorter."""
    return [text[start : start + size] for start in range(0, len(text), size)]


def reasoning_tokens(count: int) -> list[str]:
    """That many pieces of thinking."""
    words = [f"{word} " for word in REASONING.split()]
    return [words[number % len(words)] for number in range(count)]


def _in_form(document: dict[str, Any], form: ContentForm) -> str:
    if form == "pretty":
        return orjson.dumps(document, option=orjson.OPT_INDENT_2).decode()
    document = _in_shape(document, form)
    text = orjson.dumps(document).decode()
    match form:
        case "fenced":
            return f"```json\n{text}\n```"
        case "prose_before":
            return f"Here is the plan you asked for:\n\n{text}"
        case "prose_after":
            return f"{text}\n\nLet me know if you would like any changes!"
        case "trailing_comma":
            return f"{text[:-2]},]}}"
        case "invalid_json":
            return text.replace('"weekly_breakdown":', '"weekly_breakdown": oops ', 1)
        case _:
            return text


def _in_shape(document: dict[str, Any], form: ContentForm) -> dict[str, Any]:
    match form:
        case "wrong_shape":
            return {"title": "A plan", "steps": ["Choose one goal", "Work on it every day", "Review on Sunday"]}
        case "invalid_plan":
            return _with_invalid_times(document)
        case "surplus_week":
            return _with_surplus_week(document)
        case "no_weeks":
            return document | {"weekly_breakdown": []}
        case _:
            return document


def _with_invalid_times(document: dict[str, Any]) -> dict[str, Any]:
    """Still of the schema's shape (strict schemas cannot say what a time looks like), yet not a plan."""
    task = {"description": "Late shift.", "focus_area": "Rest", "start_time": "9 am", "end_time": "24:30"}
    for week in document["weekly_breakdown"]:
        week["daily_tasks"]["monday"] = [task]
    return document


def _with_surplus_week(document: dict[str, Any]) -> dict[str, Any]:
    weeks = document["weekly_breakdown"]
    if weeks:
        weeks.append(weeks[-1] | {"week": weeks[-1]["week"] + 1})
    return document
