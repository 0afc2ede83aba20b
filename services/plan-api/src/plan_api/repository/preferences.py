"""Table `user_goals_and_preferences`."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from common.contracts.inputs import Preferences
from common.postgres import Connection

_INSERT = "INSERT INTO plan_api.user_goals_and_preferences (id, user_id, preferences) VALUES ($1, $2, $3)"

_FIND = """
SELECT preferences, created_at FROM plan_api.user_goals_and_preferences WHERE id = $1 AND user_id = $2
"""


@dataclass(frozen=True, slots=True)
class StoredPreferences:
    """One row."""

    preferences: Preferences
    created_at: datetime


async def insert(connection: Connection, preference_id: UUID, user_id: UUID, preferences: Preferences) -> None:
    """Store a user's inputs."""
    await connection.execute(_INSERT, preference_id, user_id, preferences.model_dump(mode="json", by_alias=True))


async def find(connection: Connection, preference_id: UUID, user_id: UUID) -> StoredPreferences | None:
    """A user's inputs; None when there are none, or they are another user's."""
    row = await connection.fetchrow(_FIND, preference_id, user_id)
    if row is None:
        return None
    return StoredPreferences(Preferences.model_validate(row["preferences"], extra="ignore"), row["created_at"])
