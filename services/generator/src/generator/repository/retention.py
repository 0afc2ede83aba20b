"""What RETENTION_DAYS deletes of the generators' slice, each statement for `common.retention.Retention`."""

# Only what plan-api has had erased: it alone knows that nothing waits for a plan any more, and would have one without a
# row written again. For a day the empty row refuses claims by what may still be on its way.
_DELETE_ERASED = """
WITH due AS (
    SELECT plan_id FROM generator.monthly_plans
    WHERE deleted_at < now() - interval '1 day' AND completed_at < now() - make_interval(days => $1)
    ORDER BY deleted_at LIMIT $2 FOR UPDATE SKIP LOCKED
), calls AS (
    DELETE FROM generator.upstream_calls c USING due WHERE c.plan_id = due.plan_id
), plans AS (
    DELETE FROM generator.monthly_plans p USING due WHERE p.plan_id = due.plan_id
)
SELECT count(*) FROM due
"""

STATEMENTS = (_DELETE_ERASED,)
