"""The plan document: one model for the JSON schema, the validation at the end and the API's documentation."""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

Day = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
DAYS: tuple[Day, ...] = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")

MIN_WEEKS = 1
MAX_WEEKS = 5

ClockTime = Annotated[str, Field(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$", description="24-hour clock, HH:MM")]
ShortText = Annotated[str, Field(min_length=1, max_length=500)]
LongText = Annotated[str, Field(min_length=1, max_length=4000)]


class PlanPart(BaseModel):
    """Strict in types and keys: what a model invents beside the schema is refused, never stored."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Task(PlanPart):
    """One block of work on one day.

    An `end_time` that is not after `start_time` is accepted: 22:30 to 00:30 is a task over midnight, and what else it
    may be is a slip that a reader sees and mends. A rule here would cost the user the whole plan, paid for, since what
    is not valid is repaired once and then failed.
    """

    description: LongText
    focus_area: ShortText
    start_time: ClockTime
    end_time: ClockTime


class DailyTasks(PlanPart):
    """All seven days; a day without work is an empty list."""

    monday: Annotated[list[Task], Field(max_length=24)]
    tuesday: Annotated[list[Task], Field(max_length=24)]
    wednesday: Annotated[list[Task], Field(max_length=24)]
    thursday: Annotated[list[Task], Field(max_length=24)]
    friday: Annotated[list[Task], Field(max_length=24)]
    saturday: Annotated[list[Task], Field(max_length=24)]
    sunday: Annotated[list[Task], Field(max_length=24)]


class Week(PlanPart):
    """One week: its number from 1, what it is about, its goals and its days."""

    week: Annotated[int, Field(ge=MIN_WEEKS, le=MAX_WEEKS)]
    focus: LongText
    goals: Annotated[list[LongText], Field(max_length=20)]
    daily_tasks: DailyTasks


class PlanDocument(PlanPart):
    """The whole plan. Validate with context `{"weeks": n}` to require exactly n weeks."""

    monthly_summary: Annotated[str, Field(min_length=1, max_length=20_000)]
    weekly_breakdown: Annotated[list[Week], Field(min_length=MIN_WEEKS, max_length=MAX_WEEKS)]

    @model_validator(mode="after")
    def _weeks_in_order(self, info: ValidationInfo) -> Self:
        expected = (info.context or {}).get("weeks", len(self.weekly_breakdown))
        numbers = [week.week for week in self.weekly_breakdown]
        if numbers != list(range(1, expected + 1)):
            raise ValueError(f"weekly_breakdown must hold the weeks 1 to {expected} in order, got {numbers}")
        return self


def validate_plan(document: Any, weeks: int) -> PlanDocument:
    """Check a whole document (parsed JSON) against the model.

    Raises:
        pydantic.ValidationError: the document is not a plan of exactly `weeks` weeks.
    """
    return PlanDocument.model_validate(document, context={"weeks": weeks})


# Providers differ in which bounds a strict schema may use; our own validation at the end applies them all the same.
_NOT_FOR_PROVIDERS = frozenset(
    {"$defs", "title", "default", "pattern", "minimum", "maximum"} | {"minLength", "maxLength", "minItems", "maxItems"}
)


def provider_schema(*, summary: bool = True) -> dict[str, Any]:
    """JSON schema for `response_format` in strict mode: references inlined, every key required, none beside.

    Args:
        summary: False for a continuation that already holds the complete `monthly_summary`.
    """
    schema = PlanDocument.model_json_schema()
    if not summary:
        del schema["properties"]["monthly_summary"]
    document: dict[str, Any] = _inline(schema, schema.get("$defs", {}))
    return document


def _inline(node: Any, definitions: dict[str, Any]) -> Any:
    match node:
        case {"$ref": str(reference)}:
            return _inline(definitions[reference.rsplit("/", 1)[1]], definitions)
        case {"properties": dict(properties)}:
            # Under `properties` the keys are the document's own names, never schema keywords.
            inlined = {name: _inline(child, definitions) for name, child in properties.items()}
            return {
                "type": "object",
                "properties": inlined,
                "required": list(inlined),
                "additionalProperties": False,
            }
        case dict():
            return {key: _inline(value, definitions) for key, value in node.items() if key not in _NOT_FOR_PROVIDERS}
        case list():
            return [_inline(item, definitions) for item in node]
        case _:
            return node
