"""What a generator says at LOG_LEVEL=debug, where an operator would look."""

from collections.abc import Callable
from typing import cast

from structlog.testing import capture_logs

from generator.identity import Saved
from generator.repository import SaveRepository
from generator.repository.saves import Held
from generator.run import Run
from generator.saver import Saver


class Rows:
    """A table in which every plan but the last is still ours."""

    async def save(self, rows: list[Saved]) -> list[Held]:
        """A batch."""
        return [Held(row.plan_id, None) for row in rows[:-1]]


async def test_a_save_says_how_many_plans_and_how_many_stood(new_run: Callable[..., Run]) -> None:
    """One line for a batch, none for a plan; one when all stop publishing."""
    runs = [new_run() for _ in range(3)]
    saver = Saver(cast("SaveRepository", Rows()), lambda: runs)
    with capture_logs() as lines:
        saver.distrust()
        await saver.save()
    assert lines == [
        {"event": "publish.suspended", "log_level": "debug", "plans": 3},
        {"event": "save.done", "log_level": "debug", "plans": 3, "held": 2},
    ]
