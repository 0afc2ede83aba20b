"""UUIDs as they come from outside."""

from uuid import UUID

import pytest

from common.ids import parse_uuid

TEXT = "6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac"


@pytest.mark.parametrize(
    "value", ["", "x", f"{{{TEXT}}}", TEXT.replace("-", ""), f"urn:uuid:{TEXT}", TEXT[:-1] + "g", "x" * 36, None, 7]
)
def test_only_the_canonical_form_is_a_uuid(value: object) -> None:
    """An id becomes part of a subject and of keys: other spellings of a UUID, and all else, are refused."""
    assert parse_uuid(value) is None


def test_a_uuid_in_capitals_is_one() -> None:
    """RFC 9562: input is case-insensitive."""
    assert parse_uuid(TEXT.upper()) == UUID(TEXT)
