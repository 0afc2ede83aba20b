"""Examples for the description; a test holds each against its model."""

from typing import Any, Final

from pydantic import BaseModel

from common.contracts.inputs import PlanInputs
from common.contracts.internal import StartRequest, SyncRequest
from common.contracts.public import (
    BatchRequest,
    BatchStarted,
    CancelReply,
    PreferenceCreated,
    QuotaView,
    Started,
    StatusReply,
)

_USER: Final = "11111111-1111-4111-8111-111111111111"
_PREFERENCE: Final = "0d5b7a1e-52a4-4a61-9d55-7f1c6a9b4c10"
_PLAN: Final = "6b4bd1c8-4b43-4d31-9a57-3d5f5ab7d0ac"
_BATCH: Final = "3f0f8a36-0f0c-4f9c-8d1f-5c6f2f5b9e21"
_PROGRESS: Final = {
    "phase": "streaming",
    "weeksCompleted": 1,
    "weeksTotal": 4,
    "percent": 31.5,
    "chars": 2210,
    "tokensPerSecond": 48.2,
    "elapsedMs": 11400,
}
_START: Final = {"preferenceId": _PREFERENCE, "userId": _USER}

EXAMPLES: Final[dict[type[BaseModel], dict[str, Any]]] = {
    PlanInputs: {
        "userId": _USER,
        "goals": "Run a half marathon in spring",
        "focusAreas": ["Endurance", "Stretching"],
        "availableHours": {"monday": 2, "saturday": 3.5},
        "fixedCommitments": [{"day": "monday", "startTime": "09:00", "endTime": "17:00", "description": "Work"}],
        "ambition": "balanced",
        "startDate": "2026-12-07",
        "weeks": 4,
    },
    PreferenceCreated: {"preferenceId": _PREFERENCE},
    QuotaView: {"limit": 30, "used": 4, "reserved": 1, "remaining": 25, "resetsAt": "2026-12-01T00:00:00Z"},
    StartRequest: _START,
    SyncRequest: _START,
    Started: {
        "planId": _PLAN,
        "eventsUrl": f"/api/streaming/events/{_PLAN}",
        "statusUrl": f"/api/streaming/status/{_PLAN}",
    },
    StatusReply: {
        "planId": _PLAN,
        "status": "generating",
        "phase": "streaming",
        "progress": _PROGRESS,
        "seq": 104,
        "attempt": 1,
        "error": None,
    },
    CancelReply: {"planId": _PLAN, "status": "partial"},
    BatchRequest: {"preferenceIds": [_PREFERENCE], "userId": _USER},
    BatchStarted: {
        "batchId": _BATCH,
        "eventsUrl": f"/api/streaming/batches/{_BATCH}/events",
        "plans": [
            {
                "preferenceId": _PREFERENCE,
                "planId": _PLAN,
                "eventsUrl": f"/api/streaming/events/{_PLAN}",
                "statusUrl": f"/api/streaming/status/{_PLAN}",
            }
        ],
    },
}

STREAM: Final = (
    f'event: connected\ndata: {{"planId":"{_PLAN}","status":"generating","phase":"queued"}}\n\n'
    f'event: snapshot\nid: 1.0\ndata: {{"planId":"{_PLAN}","attempt":1,"seq":0,"plan":null,"progress":{{…}}}}\n\n'
    f'event: progress\nid: 1.1\ndata: {{"planId":"{_PLAN}","attempt":1,"seq":1,'
    '"ops":[{"op":"add","path":"","value":{"monthly_summary":"A month"}}],"progress":{…}}\n\n'
)
