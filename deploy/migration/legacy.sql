-- Your server's tables as from_monthly_plans.sql reads them: two views, to be changed to what your columns are called.
-- These fit the guide's server before it streamed. `psql` runs this file and the other in one session.

-- The guide's three columns, if they are not there yet: what is there was written whole.
ALTER TABLE public.monthly_plans
    ADD COLUMN IF NOT EXISTS status text NOT NULL DEFAULT 'completed',
    ADD COLUMN IF NOT EXISTS partial_content text,
    ADD COLUMN IF NOT EXISTS generation_started_at timestamp;

-- Inputs: `preferences` has the names of POST /api/plan/inputs; only `goals` is needed.
CREATE TEMPORARY VIEW legacy_inputs AS
SELECT id, user_id, jsonb_build_object('goals', goals) AS preferences, created_at::timestamptz AS created_at
FROM public.user_goals_and_preferences;

-- Plans: `content` is the whole document, `partial_content` what a stream had written of one; timestamps in UTC.
CREATE TEMPORARY VIEW legacy_plans AS
SELECT id AS plan_id, user_id, preference_id, status, content::json AS content, partial_content,
       coalesce(generation_started_at AT TIME ZONE 'UTC', created_at::timestamptz) AS started_at,
       created_at::timestamptz AS created_at
FROM public.monthly_plans;
