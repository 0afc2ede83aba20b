"""Every operation of the public API. A test holds this table against the routes."""

from typing import Final

from common.contracts.errors import ErrorCode as E
from common.contracts.inputs import PlanInputs
from common.contracts.internal import GenerationResult, StartRequest, SyncRequest
from common.contracts.public import (
    BatchRequest,
    BatchStarted,
    CancelReply,
    PlanDetail,
    PlanPage,
    PreferenceCreated,
    QuotaView,
    Started,
    StatusReply,
    StoredInputs,
)
from stream_gateway.description.operation import IDEMPOTENCY_KEY, LAST_EVENT_ID, Operation, Parameter
from stream_gateway.session_routes import SessionReply

_BODY: Final = (E.INVALID_INPUT, E.PAYLOAD_TOO_LARGE, E.UNSUPPORTED_MEDIA_TYPE)
_LIMITS: Final = (E.QUOTA_EXCEEDED, E.TOO_MANY_RUNNING)
_FAILED: Final = (
    E.UPSTREAM_RATE_LIMITED, E.UPSTREAM_ERROR, E.UPSTREAM_TIMEOUT, E.CONTENT_REFUSED, E.INVALID_PLAN, E.CANCELLED,
)  # fmt: skip

_LIMIT: Final = {"type": "integer", "minimum": 1, "maximum": 100, "default": 20}

INPUTS: Final = (
    Operation(
        "post", "/api/plan/inputs", "storeInputs", "Inputs and quota", "Store goals and preferences",
        {201: ("Stored", PreferenceCreated)},
        body=PlanInputs, errors=(*_BODY, E.IDEMPOTENCY_CONFLICT, E.FORBIDDEN), parameters=(IDEMPOTENCY_KEY,),
    ),
    Operation(
        "get", "/api/plan/inputs/{preferenceId}", "readInputs", "Inputs and quota", "Read them back",
        {200: ("The inputs, with what was filled in", StoredInputs)}, errors=(E.NOT_FOUND,),
    ),
    Operation(
        "get", "/api/plan/quota", "readQuota", "Inputs and quota", "The user's month",
        {200: ("Limit, used, reserved and remaining", QuotaView)},
    ),
)  # fmt: skip

PLANS: Final = (
    Operation(
        "get", "/api/plan/plans", "listPlans", "Plans", "The user's plans, the newest first",
        {200: ("A page", PlanPage)},
        errors=(E.INVALID_INPUT,),
        parameters=(
            Parameter("limit", "query", "plans in a page", _LIMIT),
            Parameter("cursor", "query", "`nextCursor` of the page before"),
        ),
    ),
    Operation(
        "get", "/api/plan/plans/{planId}", "readPlan", "Plans", "One plan with its content, whole or partial",
        {200: ("The plan", PlanDetail)}, errors=(E.NOT_FOUND,),
    ),
    Operation(
        "delete", "/api/plan/plans/{planId}", "deletePlan", "Plans", "Cancel a plan and erase it everywhere",
        {204: ("Gone", "nothing")}, errors=(E.NOT_FOUND,),
    ),
    Operation(
        "post", "/api/plan/generate", "generatePlan", "Plans",
        "Write a plan and wait for it: the way to go when streaming persistently fails",
        {200: ("The whole plan", GenerationResult)},
        body=SyncRequest,
        errors=(*_BODY, *_LIMITS, *_FAILED, E.NOT_FOUND, E.FORBIDDEN, E.IDEMPOTENCY_CONFLICT),
        parameters=(IDEMPOTENCY_KEY,),
    ),
)  # fmt: skip

STREAMING: Final = (
    Operation(
        "post", "/api/streaming/generate-plan", "startPlan", "Streaming",
        "Start a plan: answered by its stream, or, for `Accept: application/json`, by where to find it",
        {200: ("The plan's stream", "stream"), 202: ("Accepted", Started)},
        body=StartRequest,
        errors=(*_BODY, *_LIMITS, E.NOT_FOUND, E.FORBIDDEN, E.TOO_MANY_STREAMS, E.IDEMPOTENCY_CONFLICT),
        parameters=(IDEMPOTENCY_KEY,),
    ),
    Operation(
        "get", "/api/streaming/events/{planId}", "watchPlan", "Streaming", "Watch a plan, or resume watching",
        {200: ("The plan's stream", "stream"), 204: ("The terminal event was received already", "nothing")},
        errors=(E.NOT_FOUND, E.INVALID_INPUT, E.TOO_MANY_STREAMS),
        parameters=(
            *LAST_EVENT_ID,
            Parameter("mode", "query", "`snapshot`: whole documents instead of operations", {"enum": ["snapshot"]}),
            Parameter("format", "query", "another dialect of the stream", {"enum": ["ai-sdk", "ag-ui"]}),
        ),
    ),
    Operation(
        "get", "/api/streaming/status/{planId}", "readStatus", "Streaming", "How a plan stands now",
        {200: ("The status", StatusReply)}, errors=(E.NOT_FOUND,),
    ),
    Operation(
        "delete", "/api/streaming/cancel/{planId}", "cancelPlan", "Streaming", "Cancel a plan; safe to repeat",
        {200: ("The final status", CancelReply), 202: ("Not confirmed yet: it goes on", CancelReply)},
        errors=(E.NOT_FOUND,),
    ),
    Operation(
        "post", "/api/streaming/batches", "startBatch", "Streaming", "Start up to 20 plans in one request",
        {202: ("What became of each", BatchStarted)},
        body=BatchRequest, errors=(*_BODY, E.FORBIDDEN, E.IDEMPOTENCY_CONFLICT), parameters=(IDEMPOTENCY_KEY,),
    ),
    Operation(
        "get", "/api/streaming/batches/{batchId}/events", "watchBatch", "Streaming",
        "All plans of a batch over one stream",
        {200: ("The events of all plans", "batch stream"), 204: ("All was received already", "nothing")},
        errors=(E.NOT_FOUND, E.TOO_MANY_STREAMS), parameters=LAST_EVENT_ID,
    ),
    Operation(
        "delete", "/api/streaming/batches/{batchId}", "cancelBatch", "Streaming", "Cancel all plans of a batch",
        {200: ("What became of each", "json"), 202: ("Not confirmed yet for all", "json")}, errors=(E.NOT_FOUND,),
    ),
    Operation(
        "get", "/api/streaming/ws", "openSocket", "Streaming", "Watch many plans over one WebSocket",
        {101: ("JSON messages in both directions", "socket")}, errors=(E.FORBIDDEN, E.TOO_MANY_STREAMS),
    ),
)  # fmt: skip

DOOR: Final = (
    Operation(
        "post", "/api/session", "openSession", "Session", "Trade the bearer token for a cookie",
        {200: ("The cookie is set", SessionReply)}, errors=(E.FORBIDDEN, E.PAYLOAD_TOO_LARGE),
    ),
    Operation(
        "delete", "/api/session", "closeSession", "Session", "Be rid of the cookie",
        {204: ("Gone", "nothing")}, errors=(E.FORBIDDEN,), open=True,
    ),
    Operation("get", "/livez", "livez", "Health", "Whether the process lives", {200: ("Alive", "json")}, open=True),
    Operation(
        "get", "/readyz", "readyz", "Health", "Whether requests are welcome; the body names what is away",
        {200: ("Ready", "json"), 503: ("Draining", "json")}, open=True,
    ),
)  # fmt: skip

OPERATIONS: Final = (*INPUTS, *PLANS, *STREAMING, *DOOR)
