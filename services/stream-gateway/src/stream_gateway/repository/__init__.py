"""All SQL of the gateway: what it records of streams and cancellations, and what goes after its time."""

from stream_gateway.repository.streams import (
    CancelAnswered,
    CancelAsked,
    OpenCancel,
    PlanErased,
    PlanSeen,
    Record,
    Repository,
    SessionClosed,
    SessionOpened,
)

__all__ = [
    "CancelAnswered",
    "CancelAsked",
    "OpenCancel",
    "PlanErased",
    "PlanSeen",
    "Record",
    "Repository",
    "SessionClosed",
    "SessionOpened",
]
