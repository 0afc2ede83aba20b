"""A user, and what every way of telling who is calling has in common."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from common.contracts.errors import ErrorCode
from common.problems import ApiError


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, and until when (seconds since the epoch) the proof holds; None: no end."""

    user_id: UUID
    expires_at: float | None = None


class Authenticator(Protocol):
    """One way to tell who is calling: what a caller shows, and whom it proves."""

    @property
    def trusting(self) -> bool:
        """Whether a mere word is believed: then the body may hold it, and a foreign page must not get to say it."""

    def shown(self, headers: Mapping[str, str], query: Mapping[str, str], body: bytes) -> str | None:
        """What the request itself shows; None: nothing, and a cookie may count.

        Raises:
            ApiError: unauthorized, for a request that must not be believed whatever it shows.
        """

    async def verify(self, shown: str) -> Identity:
        """Whom it proves.

        Raises:
            ApiError: unauthorized; or unavailable, when that cannot be told now.
        """

    @property
    def advice(self) -> str:
        """What to send, for a caller that showed nothing."""


def unauthorized(detail: str) -> ApiError:
    """The refusal of whoever has not proved who they are."""
    return ApiError(ErrorCode.UNAUTHORIZED, detail)
