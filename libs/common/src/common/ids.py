"""UUIDs as they come from outside. Pure."""

from uuid import UUID


def parse_uuid(value: object) -> UUID | None:
    """A UUID in its canonical form of 36 characters, or None: `uuid.UUID` alone takes other spellings too."""
    if not isinstance(value, str) or len(value) != 36:
        return None
    try:
        found = UUID(value)
    except ValueError:
        return None
    return found if str(found) == value.lower() else None
