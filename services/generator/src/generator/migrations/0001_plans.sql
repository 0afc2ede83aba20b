-- The generator's slice: the plans themselves, and what each upstream call cost.

CREATE TABLE generator.monthly_plans (
    plan_id uuid PRIMARY KEY,
    user_id uuid NOT NULL,
    preference_id uuid,
    mode text NOT NULL DEFAULT 'stream' CHECK (mode IN ('stream', 'sync')),
    on_disconnect text NOT NULL DEFAULT 'continue' CHECK (on_disconnect IN ('abort', 'continue')),
    weeks int NOT NULL DEFAULT 4,
    status text NOT NULL CHECK (status IN ('generating', 'partial', 'completed', 'failed')),
    -- The whole document once it is complete; until then (and after a cancel) what has been written so far.
    -- json and not jsonb: a reader gets the keys in the order in which they were written.
    content json,
    partial_content text,
    progress jsonb,
    usage jsonb,
    generation_started_at timestamptz NOT NULL DEFAULT now(),
    -- Who may write: the fencing token is (attempt, owner).
    attempt int NOT NULL,
    seq int NOT NULL DEFAULT 0,
    owner uuid,
    lease_until timestamptz,
    -- How it ended; outcome_id tells a lost answer of one's own terminal UPDATE from another's.
    ended_as text CHECK (ended_as IN ('complete', 'cancelled', 'error')),
    code text,
    charge text CHECK (charge IN ('used', 'released')),
    outcome_id uuid,
    announced_at timestamptz,
    watched_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    deleted_at timestamptz,
    CONSTRAINT terminal_rows_say_how CHECK ((status = 'generating') = (ended_as IS NULL AND charge IS NULL))
);

CREATE INDEX monthly_plans_running ON generator.monthly_plans (lease_until) WHERE status = 'generating';
CREATE INDEX monthly_plans_unannounced ON generator.monthly_plans (completed_at)
    WHERE status <> 'generating' AND announced_at IS NULL;

CREATE TABLE generator.upstream_calls (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    plan_id uuid NOT NULL,
    attempt int NOT NULL,
    purpose text NOT NULL CHECK (purpose IN ('stream', 'sync', 'continuation', 'fallback', 'repair')),
    generation_id text,
    provider text,
    model text,
    prompt_tokens int NOT NULL DEFAULT 0,
    completion_tokens int NOT NULL DEFAULT 0,
    cost double precision,
    source text NOT NULL CHECK (source IN ('provider', 'estimated')),
    finish_reason text,
    error_code text,
    started_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL DEFAULT now()
);

CREATE INDEX upstream_calls_of_plan ON generator.upstream_calls (plan_id);
