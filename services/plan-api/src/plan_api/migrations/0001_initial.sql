-- plan-api's slice: inputs, quota, admission. The administrator owns the tables; the service's role reads and writes rows.

CREATE TABLE plan_api.user_goals_and_preferences (
    id          uuid        PRIMARY KEY,
    user_id     uuid        NOT NULL,
    preferences jsonb       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX user_goals_and_preferences_of_user ON plan_api.user_goals_and_preferences (user_id, created_at DESC);

-- One row per user and month (UTC). plan_limit NULL means the service's default.
CREATE TABLE plan_api.quota_accounts (
    user_id    uuid NOT NULL,
    period     date NOT NULL CHECK (extract(day FROM period) = 1),
    used       int  NOT NULL DEFAULT 0 CHECK (used >= 0),
    reserved   int  NOT NULL DEFAULT 0 CHECK (reserved >= 0),
    plan_limit int  CHECK (plan_limit >= 0),
    PRIMARY KEY (user_id, period)
);

-- status and quota_state move together, in one statement, exactly once: see settlement.
CREATE TABLE plan_api.generations (
    plan_id          uuid        PRIMARY KEY,
    user_id          uuid        NOT NULL,
    preference_id    uuid        NOT NULL REFERENCES plan_api.user_goals_and_preferences (id),
    mode             text        NOT NULL CHECK (mode IN ('stream', 'sync')),
    weeks            int         NOT NULL,
    preferences      jsonb       NOT NULL,
    on_disconnect    text        NOT NULL CHECK (on_disconnect IN ('abort', 'continue')),
    status           text        NOT NULL DEFAULT 'generating'
                                 CHECK (status IN ('generating', 'partial', 'completed', 'failed')),
    code             text,
    quota_state      text        NOT NULL DEFAULT 'reserved' CHECK (quota_state IN ('reserved', 'used', 'released')),
    period           date        NOT NULL,
    dispatches       int         NOT NULL DEFAULT 0,
    next_dispatch_at timestamptz NOT NULL,
    created_at       timestamptz NOT NULL DEFAULT now(),
    ended_at         timestamptz,
    deleted_at       timestamptz,
    erased_at        timestamptz,
    FOREIGN KEY (user_id, period) REFERENCES plan_api.quota_accounts (user_id, period),
    CHECK ((status = 'generating') = (quota_state = 'reserved')),
    CHECK ((status = 'generating') = (ended_at IS NULL)),
    CHECK (deleted_at IS NULL OR ended_at IS NOT NULL)
);
CREATE INDEX generations_of_user ON plan_api.generations (user_id, created_at DESC, plan_id DESC)
    WHERE deleted_at IS NULL;
CREATE INDEX generations_unsettled ON plan_api.generations (created_at, plan_id) WHERE quota_state = 'reserved';
CREATE INDEX generations_running_of_user ON plan_api.generations (user_id) WHERE quota_state = 'reserved';
CREATE INDEX generations_to_erase ON plan_api.generations (deleted_at)
    WHERE deleted_at IS NOT NULL AND erased_at IS NULL;

-- The sums of the deltas of a (user_id, period) equal its account.
CREATE TABLE plan_api.quota_ledger (
    id             uuid        PRIMARY KEY DEFAULT gen_random_uuid(),
    plan_id        uuid        NOT NULL REFERENCES plan_api.generations (plan_id),
    user_id        uuid        NOT NULL,
    period         date        NOT NULL,
    kind           text        NOT NULL CHECK (kind IN ('reserved', 'used', 'released')),
    used_delta     int         NOT NULL,
    reserved_delta int         NOT NULL,
    created_at     timestamptz NOT NULL DEFAULT now(),
    UNIQUE (plan_id, kind)
);
CREATE INDEX quota_ledger_of_account ON plan_api.quota_ledger (user_id, period);

-- Jobs to publish; a row is deleted once JetStream has it.
CREATE TABLE plan_api.outbox (
    id         bigserial   PRIMARY KEY,
    plan_id    uuid        NOT NULL REFERENCES plan_api.generations (plan_id),
    n          int         NOT NULL,
    payload    bytea       NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (plan_id, n)
);

-- What a keyed request made: a plan, or the stored answer.
CREATE TABLE plan_api.idempotency_keys (
    user_id    uuid        NOT NULL,
    route      text        NOT NULL,
    key        text        NOT NULL,
    body_hash  bytea       NOT NULL,
    status     int         NOT NULL,
    response   jsonb,
    plan_id    uuid,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, route, key)
);
CREATE INDEX idempotency_keys_by_age ON plan_api.idempotency_keys (created_at);
CREATE INDEX idempotency_keys_of_plan ON plan_api.idempotency_keys (plan_id) WHERE plan_id IS NOT NULL;
