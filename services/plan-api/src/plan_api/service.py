"""The small use cases: inputs and the quota's state."""

from datetime import UTC, datetime
from uuid import UUID, uuid4

from common.contracts.errors import ErrorCode
from common.contracts.inputs import PlanInputs, Preferences, coming_monday
from common.contracts.public import PreferenceCreated, QuotaView, StoredInputs
from common.postgres import Database
from common.problems import ApiError
from plan_api import quota
from plan_api.quota import Policy
from plan_api.repository import accounts, idempotency, preferences
from plan_api.repository.idempotency import IdempotencyKey

_CREATED = 201


class Inputs:
    """Goals and preferences."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def store(self, user_id: UUID, inputs: PlanInputs, key: IdempotencyKey | None) -> PreferenceCreated:
        """Store inputs, with the coming Monday as the default start.

        Raises:
            ApiError: idempotency_conflict.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        created = PreferenceCreated(preference_id=uuid4())
        async with self._database.transaction() as transaction:
            if key is not None:
                response = created.model_dump(mode="json", by_alias=True)
                earlier = await idempotency.remember(transaction, key, _CREATED, response=response)
                if earlier is not None:
                    return PreferenceCreated.model_validate(earlier.response)
            await preferences.insert(transaction, created.preference_id, user_id, _dated(inputs.preferences()))
        return created

    async def read(self, user_id: UUID, preference_id: UUID) -> StoredInputs:
        """The user's inputs.

        Raises:
            ApiError: not_found, also for another user's.
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        async with self._database.connection() as connection:
            stored = await preferences.find(connection, preference_id, user_id)
        if stored is None:
            raise ApiError(ErrorCode.NOT_FOUND, "There are no inputs with this id.")
        return StoredInputs(
            preference_id=preference_id,
            user_id=user_id,
            created_at=stored.created_at,
            **stored.preferences.model_dump(),
        )


class Quota:
    """The user's month."""

    def __init__(self, database: Database, policy: Policy) -> None:
        self._database = database
        self._policy = policy

    async def view(self, user_id: UUID) -> QuotaView:
        """Limit, used, reserved and remaining.

        Raises:
            common.postgres.UNAVAILABLE: Postgres is away.
        """
        period = quota.period_of(datetime.now(UTC))
        async with self._database.connection() as connection:
            account = await accounts.read(connection, user_id, period)
        return QuotaView(
            limit=quota.effective_limit(account, self._policy),
            used=account.used,
            reserved=account.reserved,
            remaining=quota.remaining(account, self._policy),
            resets_at=quota.resets_at(period),
        )


def _dated(given: Preferences) -> Preferences:
    if given.start_date is not None:
        return given
    return given.model_copy(update={"start_date": coming_monday(datetime.now(UTC).date())})
