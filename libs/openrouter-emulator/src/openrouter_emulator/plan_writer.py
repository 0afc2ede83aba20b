"""Writes a believable plan for a brief: the same brief and seed give the same plan. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

from openrouter_emulator import phrases, vocabulary
from openrouter_emulator.prompt_reader import DAYS, PlanBrief, clip, topics_of
from openrouter_emulator.timetable import Block, clock, find_blocks

DEFAULT_HOURS = dict.fromkeys(DAYS[:5], 2.0) | {"saturday": 1.5, "sunday": 1.0}
TASKS_A_DAY = {"simple": (0, 1, 1, 1, 2), "balanced": (0, 1, 2, 2, 2), "ambitious": (1, 1, 2, 2, 3)}
MAX_TASKS_A_WEEK = 13
EARLIEST_STARTS = (7 * 60, 9 * 60, 12 * 60 + 30, 17 * 60)

# A four-week plan comes out at 6,000 to 10,000 characters, which is 1,500 to 2,500 tokens of four characters.
WEEK_CHARACTERS = (1650, 2150)
TASK_KEYS_CHARACTERS = 76


@dataclass(frozen=True, slots=True)
class _Writer:
    """One plan's random source, and the names it speaks of."""

    random: Random
    brief: PlanBrief
    areas: tuple[str, ...]
    earliest: int
    _decks: dict[str, list[str]] = field(default_factory=dict)

    def action(self, area: str) -> str:
        """What to do for an area; nothing comes twice before everything came once."""
        deck = self._decks.setdefault(area, [])
        if not deck:
            deck.extend(self.random.sample(kind_of(area).actions, k=len(kind_of(area).actions)))
        return self.sentence(deck.pop(), area)

    def sentence(self, template: str, area: str) -> str:
        """A template with its names filled in (not by str.format: a goal may hold braces)."""
        return template.replace("{area}", area).replace("{goal}", self.random.choice(self.brief.goals))


def write_plan(brief: PlanBrief, random: Random) -> dict[str, Any]:
    """The plan document with the parts that the brief's task names."""
    areas = brief.focus_areas or tuple(dict.fromkeys(_area_of(goal) for goal in brief.goals))[:4]
    writer = _Writer(random, brief, areas, random.choice(EARLIEST_STARTS))
    document: dict[str, Any] = {"monthly_summary": _summary(writer)} if brief.summary else {}
    document["weekly_breakdown"] = [_week(writer, number) for number in brief.weeks]
    return document


def write_prose(prompt: str, random: Random) -> str:
    """A short answer to a prompt that does not ask for a plan."""
    topics = _listed(topics_of(prompt) or ["your question"])
    opening, *rest = phrases.PROSE
    return " ".join(part.replace("{topics}", topics) for part in [opening, *random.sample(rest, k=2)])


def _summary(writer: _Writer) -> str:
    random, brief = writer.random, writer.brief
    goals = _listed([f"“{goal}”" for goal in brief.goals])
    areas = _listed(writer.areas)
    ambition = phrases.AMBITION_SENTENCES.get(brief.ambition, phrases.AMBITION_SENTENCES["balanced"])
    sentences = [
        random.choice(phrases.SUMMARY_OPENINGS).replace("{goals}", goals),
        _capitalised(random.choice(phrases.SUMMARY_MIDDLES).replace("{areas}", areas)),
        random.choice(ambition),
        *random.sample(phrases.SUMMARY_CLOSINGS, k=2),
    ]
    if brief.start_date:
        sentences.insert(1, f"It starts on {clip(brief.start_date, 40)}.")
    if brief.commitments:
        taken = _listed(list(dict.fromkeys(c.description for c in brief.commitments if c.description))[:4])
        sentences.insert(-1, f"Your fixed commitments ({taken or 'as given'}) stay untouched.")
    return " ".join(sentences)


def _week(writer: _Writer, number: int) -> dict[str, Any]:
    random = writer.random
    lead = writer.areas[(number - 1) % len(writer.areas)]
    phase = random.choice(phrases.PHASES[(number - 1) % len(phrases.PHASES)])
    templates = random.sample(phrases.WEEK_GOALS, k=random.choice((2, 3, 3)))
    # Each goal has its week in turn, so that a plan of several weeks speaks of several goals.
    goal = writer.brief.goals[(number - 1) % len(writer.brief.goals)]
    focus = f"{phase}: {lead}, a step towards “{goal}”"
    goals = [writer.sentence(template, random.choice(writer.areas)) for template in templates]
    blocks = _timetable(writer)
    count = sum(len(day) for day in blocks.values())
    budget = random.randint(*WEEK_CHARACTERS) - len(focus) - sum(map(len, goals)) - 200
    room = budget // max(count, 1) - TASK_KEYS_CHARACTERS
    tasks = {day: [_task(writer, block, room) for block in blocks[day]] for day in DAYS}
    return {"week": number, "focus": focus, "goals": goals, "daily_tasks": tasks}


def _timetable(writer: _Writer) -> dict[str, list[Block]]:
    random, brief = writer.random, writer.brief
    hours = brief.available_hours or DEFAULT_HOURS
    left = MAX_TASKS_A_WEEK
    timetable: dict[str, list[Block]] = {}
    for day in DAYS:
        taken = [Block(c.start, c.end) for c in brief.commitments if c.day == day]
        wanted = min(left, random.choice(TASKS_A_DAY.get(brief.ambition, TASKS_A_DAY["balanced"])))
        timetable[day] = find_blocks(random, hours.get(day, 0.0), taken, wanted, writer.earliest)
        left -= len(timetable[day])
    return timetable


def _task(writer: _Writer, block: Block, room: int) -> dict[str, str]:
    """One task whose description uses about `room` characters, and always is a whole sentence."""
    random = writer.random
    area = random.choice(writer.areas)
    description = writer.action(area)
    for detail in random.sample(kind_of(area).details, k=3):
        if len(description) + len(detail) + len(area) > room:
            break
        description += f". {detail[:1].upper()}{detail[1:]}"
    return {
        "description": f"{description}.",
        "focus_area": area,
        "start_time": clock(block.start),
        "end_time": clock(block.end),
    }


def kind_of(text: str) -> vocabulary.Kind:
    """The kind whose words a text holds; the one named first when there are several."""
    lowered = text.lower()
    found = [
        (position, number)
        for number, kind in enumerate(vocabulary.KINDS)
        for word in kind.words
        if (position := lowered.find(word)) >= 0 and (position == 0 or not lowered[position - 1].isalpha())
    ]
    return vocabulary.KINDS[min(found)[1]] if found else vocabulary.GENERAL


def _area_of(goal: str) -> str:
    topics = topics_of(goal)
    return max(topics, key=len).capitalize() if topics else clip(goal, 40)


def _listed(names: Sequence[str]) -> str:
    *first, last = names or [""]
    return f"{', '.join(first)} and {last}" if first else last


def _capitalised(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
