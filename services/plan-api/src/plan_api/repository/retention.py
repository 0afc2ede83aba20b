"""What RETENTION_DAYS deletes of plan-api's slice, each statement for `common.retention.Retention`."""

# Only what has ended has an end. It is then as if the user had deleted it: hidden, without its copy of the inputs; and
# the reconciler has the generators erase it.
_HIDE_PLANS = """
WITH due AS (
    SELECT plan_id FROM plan_api.generations
    WHERE deleted_at IS NULL AND ended_at < now() - make_interval(days => $1)
    ORDER BY ended_at LIMIT $2 FOR UPDATE SKIP LOCKED
), jobs AS (
    DELETE FROM plan_api.outbox o USING due WHERE o.plan_id = due.plan_id
), hidden AS (
    UPDATE plan_api.generations g SET deleted_at = now(), preferences = '{}' FROM due WHERE g.plan_id = due.plan_id
)
SELECT count(*) FROM due
"""

# Inputs stay as long as a plan that was made of them can be seen.
_DELETE_INPUTS = """
WITH due AS (
    SELECT id FROM plan_api.user_goals_and_preferences p
    WHERE created_at < now() - make_interval(days => $1)
      AND NOT EXISTS (SELECT FROM plan_api.generations g
                      WHERE g.user_id = p.user_id AND g.preference_id = p.id AND g.deleted_at IS NULL)
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM plan_api.user_goals_and_preferences p USING due WHERE p.id = due.id
)
SELECT count(*) FROM due
"""

_DELETE_BATCHES = """
WITH due AS (
    SELECT batch_id FROM plan_api.batches WHERE created_at < now() - make_interval(days => $1)
    ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM plan_api.batches b USING due WHERE b.batch_id = due.batch_id
)
SELECT count(*) FROM due
"""

# A month's books are closed as a whole, so that a ledger's sums equal its account at any time: when the month is over
# the age, and the generators have erased all its plans. The account that says the next month's limit stays, empty.
_CLOSE_MONTHS = """
WITH old AS (
    SELECT user_id, period,
           NOT EXISTS (SELECT FROM plan_api.quota_accounts n WHERE n.user_id = a.user_id AND n.period > a.period)
           AND EXISTS (SELECT FROM plan_api.quota_accounts b WHERE b.user_id = a.user_id AND b.plan_limit IS NOT NULL)
           AS stays,
           EXISTS (SELECT FROM plan_api.generations g WHERE g.user_id = a.user_id AND g.period = a.period) AS has_plans
    FROM plan_api.quota_accounts a
    WHERE period + interval '1 month' < now() - make_interval(days => $1) AND reserved = 0
      AND NOT EXISTS (SELECT FROM plan_api.generations g
                      WHERE g.user_id = a.user_id AND g.period = a.period AND g.erased_at IS NULL)
), due AS (
    SELECT a.user_id, a.period, old.stays FROM plan_api.quota_accounts a JOIN old USING (user_id, period)
    WHERE has_plans OR NOT stays
    ORDER BY a.period LIMIT $2 FOR UPDATE OF a SKIP LOCKED
), entries AS (
    DELETE FROM plan_api.quota_ledger l USING due WHERE l.user_id = due.user_id AND l.period = due.period
), plans AS (
    DELETE FROM plan_api.generations g USING due WHERE g.user_id = due.user_id AND g.period = due.period
), accounts AS (
    DELETE FROM plan_api.quota_accounts a USING due
    WHERE a.user_id = due.user_id AND a.period = due.period AND NOT due.stays
), limits AS (
    UPDATE plan_api.quota_accounts a SET used = 0 FROM due
    WHERE a.user_id = due.user_id AND a.period = due.period AND due.stays
)
SELECT count(*) FROM due
"""

STATEMENTS = (_HIDE_PLANS, _DELETE_INPUTS, _DELETE_BATCHES, _CLOSE_MONTHS)
