-- Plans of a server that did not stream, into the slices of plan-api and the generators: after the migrations, as the
-- administrator, and after legacy.sql in the same session. It may run again, also while the services run: what is there
-- already stays as it is. The old tables are only read.
BEGIN;

CREATE TEMPORARY TABLE imported ON COMMIT DROP AS
SELECT p.plan_id, p.user_id, p.preference_id, i.preferences, p.started_at, p.created_at, p.content,
       date_trunc('month', p.created_at AT TIME ZONE 'UTC')::date AS period,
       -- A stream that is still open there ends with its server.
       CASE WHEN p.status = 'generating' THEN 'failed' ELSE p.status END AS status,
       CASE WHEN p.status IN ('completed', 'partial') THEN 'used' ELSE 'released' END AS charge,
       CASE WHEN json_array_length(p.content -> 'weekly_breakdown') = 5 THEN 5 ELSE 4 END AS weeks,
       -- What was cut off in the middle is no document.
       CASE WHEN p.partial_content IS JSON OBJECT THEN p.partial_content END AS partial_content
FROM legacy_plans p
JOIN legacy_inputs i ON i.id = p.preference_id
WHERE NOT EXISTS (SELECT FROM plan_api.generations g WHERE g.plan_id = p.plan_id);

INSERT INTO plan_api.user_goals_and_preferences (id, user_id, preferences, created_at)
SELECT id, user_id, preferences, created_at FROM legacy_inputs
ON CONFLICT (id) DO NOTHING;

INSERT INTO plan_api.quota_accounts AS account (user_id, period, used)
SELECT user_id, period, count(*) FILTER (WHERE charge = 'used') FROM imported GROUP BY user_id, period
ON CONFLICT (user_id, period) DO UPDATE SET used = account.used + excluded.used;

INSERT INTO plan_api.generations (plan_id, user_id, preference_id, mode, weeks, preferences, on_disconnect, status, code,
                                  quota_state, period, next_dispatch_at, created_at, ended_at)
SELECT plan_id, user_id, preference_id, 'sync', weeks, preferences, 'continue', status,
       CASE WHEN status = 'failed' THEN 'internal' END, charge, period, created_at, created_at, created_at
FROM imported;

INSERT INTO plan_api.quota_ledger (plan_id, user_id, period, kind, used_delta, reserved_delta, created_at)
SELECT plan_id, user_id, period, 'reserved', 0, 1, created_at FROM imported
UNION ALL
SELECT plan_id, user_id, period, charge, CASE charge WHEN 'used' THEN 1 ELSE 0 END, -1, created_at FROM imported;

INSERT INTO generator.monthly_plans (plan_id, user_id, preference_id, mode, weeks, status, content, partial_content,
                                     progress, generation_started_at, attempt, seq, ended_as, code, charge,
                                     announced_at, updated_at, completed_at)
SELECT plan_id, user_id, preference_id, 'sync', weeks, status, CASE WHEN status = 'completed' THEN content END,
       CASE WHEN status <> 'completed' THEN partial_content END,
       CASE WHEN status = 'completed' THEN jsonb_build_object(
           'phase', NULL, 'weeksCompleted', weeks, 'weeksTotal', weeks, 'percent', 100,
           'chars', length(content::text), 'tokensPerSecond', 0, 'elapsedMs', 0) END,
       started_at, 1, 1,
       CASE status WHEN 'completed' THEN 'complete' WHEN 'partial' THEN 'cancelled' ELSE 'error' END,
       CASE WHEN status = 'failed' THEN 'internal' END, charge, created_at, created_at, created_at
FROM imported
ON CONFLICT (plan_id) DO NOTHING;

COMMIT;
