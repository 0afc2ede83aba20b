"""UUIDs as they come from outside. Pure."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator


def parse_uuid(value: object) -> UUID | None:
    """A UUID in its canonical form of 36 characters, or None: `uuid.UUID` alone takes other spellings too."""
    if not isinstance(value, str) or len(value) != 36:
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value.lower() else None


def _canonical(value: object) -> UUID:
    found = value if isinstance(value, UUID) else parse_uuid(value)
    if found is None:
        raise ValueError("must be a UUID, such as 6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac")
    return found


# In what is sent to us: pydantic's own UUID takes braces, urn:uuid:, bytes and more.
Uuid = Annotated[UUID, BeforeValidator(_canonical)]
