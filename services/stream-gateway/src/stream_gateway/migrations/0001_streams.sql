-- Whose a plan is: a cache, plan-api knows.
CREATE TABLE stream_gateway.plan_streams (
    plan_id    uuid PRIMARY KEY,
    user_id    uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- One row for each stream that was opened. Written behind, so no foreign keys: a row may come late or be dropped.
CREATE TABLE stream_gateway.stream_sessions (
    id            uuid PRIMARY KEY,
    plan_id       uuid NOT NULL,
    user_id       uuid NOT NULL,
    opened_at     timestamptz NOT NULL,
    closed_at     timestamptz,
    last_event_id text,
    reason        text
);
CREATE INDEX stream_sessions_plan ON stream_gateway.stream_sessions (plan_id);

CREATE TABLE stream_gateway.cancel_requests (
    id           uuid PRIMARY KEY,
    plan_id      uuid NOT NULL,
    user_id      uuid NOT NULL,
    requested_at timestamptz NOT NULL,
    result       text,
    answered_at  timestamptz
);
CREATE INDEX cancel_requests_plan ON stream_gateway.cancel_requests (plan_id);
