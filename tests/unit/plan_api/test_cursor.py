"""The cursor of a list."""

from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plan_api import cursor


@given(st.datetimes(timezones=st.just(UTC)), st.uuids())
def test_a_cursor_is_read_back(created_at: datetime, plan_id: UUID) -> None:
    """To the microsecond, and fit for a query string."""
    text = cursor.encode(created_at, plan_id)
    assert cursor.decode(text) == (created_at, plan_id)
    assert text.replace("-", "").replace("_", "").isalnum()


@given(st.text(max_size=60) | st.binary(max_size=40).map(lambda raw: raw.hex()))
def test_anything_else_is_malformed(text: str) -> None:
    """A cursor that is not ours raises ValueError and nothing else."""
    with pytest.raises(ValueError, match="the cursor is"):
        cursor.decode(text)


def test_another_version_is_malformed() -> None:
    """The first byte is the version."""
    text = cursor.encode(datetime(2026, 1, 1, tzinfo=UTC), UUID(int=1))
    with pytest.raises(ValueError, match="another version"):
        cursor.decode("Ag" + text[2:])
