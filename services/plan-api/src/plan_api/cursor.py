"""The opaque cursor of a list of plans: the last one's time and id. Pure."""

import base64
import binascii
import struct
from datetime import UTC, datetime, timedelta
from uuid import UUID

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
# Version, microseconds since the epoch, plan id.
_FORMAT = struct.Struct(">Bq16s")
_VERSION = 1


def encode(created_at: datetime, plan_id: UUID) -> str:
    """The cursor that continues after this plan."""
    packed = _FORMAT.pack(_VERSION, (created_at - _EPOCH) // _MICROSECOND, plan_id.bytes)
    return base64.urlsafe_b64encode(packed).decode().rstrip("=")


def decode(cursor: str) -> tuple[datetime, UUID]:
    """Time and id of the last plan seen.

    Raises:
        ValueError: it is not one of our cursors.
    """
    try:
        packed = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, microseconds, plan_id = _FORMAT.unpack(packed)
        created_at = _EPOCH + timedelta(microseconds=microseconds)
    except (binascii.Error, struct.error, OverflowError, ValueError) as error:
        raise ValueError("the cursor is malformed") from error
    if version != _VERSION:
        raise ValueError("the cursor is of another version")
    return created_at, UUID(bytes=plan_id)
