"""The sentences of summaries, weeks and prose answers; what stands in braces is filled in by the writer."""

PHASES: tuple[tuple[str, ...], ...] = (
    ("Lay the foundation", "Find the baseline", "Set up and start small", "Take stock and begin"),
    ("Build a steady rhythm", "Make it a routine", "Add volume with care", "Deepen the basics"),
    ("Raise the bar", "Work on the weak spots", "Go one level up", "Put it to the test"),
    ("Bring it together", "Consolidate and review", "Finish what is open", "Turn practice into results"),
    ("Carry it on", "Polish and hand over to habit", "Celebrate and look ahead", "Plan the next month"),
)

WEEK_GOALS: tuple[str, ...] = (
    "Complete every planned session for {area}, even if one has to be short",
    "Have one visible result for “{goal}” by Sunday",
    "Know by Friday which part of {area} needs most help",
    "Note three lessons on “{goal}” in the journal",
    "Keep the evenings free of catching up on {area}",
    "Ask one person for honest feedback on {area}",
    "Do the uncomfortable part of “{goal}” before Wednesday",
    "Be able to say in two sentences where “{goal}” stands",
    "Protect the time for {area} from everything that is merely urgent",
    "Compare {area} with the first week and write down the difference",
)

SUMMARY_OPENINGS: tuple[str, ...] = (
    "This month is about {goals}.",
    "The plan puts {goals} at the centre of the month.",
    "Over these weeks you move {goals} from intention to habit.",
    "Everything in this plan serves {goals}.",
)

SUMMARY_MIDDLES: tuple[str, ...] = (
    "The time goes to {areas}, in blocks that fit the hours you have.",
    "{areas} share the week, so that no day carries more than it can.",
    "Work on {areas} alternates, which leaves room for rest and for surprises.",
)

AMBITION_SENTENCES: dict[str, tuple[str, ...]] = {
    "simple": ("The pace is gentle: few tasks, done well.", "It stays small on purpose; a missed day is no failure."),
    "balanced": ("The load is steady: demanding on some days, light on others.", "Effort and recovery keep step."),
    "ambitious": (
        "The pace is high, so sleep and breaks are part of the plan.",
        "It asks a lot, and builds it up week by week.",
    ),
}

SUMMARY_CLOSINGS: tuple[str, ...] = (
    "Each week ends with a short look back, and the next one starts from what you found.",
    "By the end you will have results you can show and a rhythm you can keep, café breaks included.",
    "Should a week go wrong, take up the next one as it stands; the plan forgives.",
    "Keep a line a day in a notebook: it is the cheapest progress bar there is.",
)

PROSE: tuple[str, ...] = (
    "Here is a short answer on {topics}.",
    "Begin with the part of {topics} that you can finish today, and write down what you learn from it.",
    "Most of the difficulty with {topics} comes from doing too much at once, so choose one thing and see it through.",
    "Then look back after a week: keep what worked, drop what did not, and ask somebody who knows {topics} better.",
)
