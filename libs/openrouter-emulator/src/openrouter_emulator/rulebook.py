"""Which behaviour the next request gets: assignments in the order they were made, each for so many requests."""

from dataclasses import dataclass, field

from openrouter_emulator.behaviours import Assignment, Behaviour, Match
from openrouter_emulator.chat_request import ChatRequest

ORDINARY = Behaviour()


@dataclass(slots=True)
class Rule:
    """An assignment that is in force."""

    id: str
    assignment: Assignment
    remaining: int | None


@dataclass(slots=True)
class RuleBook:
    """The assignments in force, oldest first."""

    _rules: dict[str, Rule] = field(default_factory=dict)
    _last_number: int = 0

    def add(self, assignment: Assignment) -> Rule:
        """Put an assignment in force, behind the ones before it."""
        self._last_number += 1
        rule = Rule(f"behaviour-{self._last_number}", assignment, assignment.times)
        self._rules[rule.id] = rule
        return rule

    def take(self, request: ChatRequest) -> Behaviour:
        """The behaviour for this request, which uses up one of its times; the ordinary one when none matches."""
        for rule in self._rules.values():
            if not _matches(rule.assignment.match, request):
                continue
            if rule.remaining is not None:
                rule.remaining -= 1
                if rule.remaining == 0:
                    del self._rules[rule.id]
            return rule.assignment.behaviour
        return ORDINARY

    def rules(self) -> list[Rule]:
        """What is in force, in the order in which it is tried."""
        return list(self._rules.values())

    def remove(self, rule_id: str) -> bool:
        """Whether there was such a rule."""
        return self._rules.pop(rule_id, None) is not None

    def clear(self) -> int:
        """Remove all; how many there were."""
        removed = len(self._rules)
        self._rules.clear()
        return removed


def _matches(match: Match, request: ChatRequest) -> bool:
    return (
        (match.prompt_contains is None or match.prompt_contains in request.prompt)
        and (match.session_id is None or match.session_id == request.session_id)
        and (match.stream is None or match.stream == request.stream)
        and (match.model is None or match.model in request.models)
    )
