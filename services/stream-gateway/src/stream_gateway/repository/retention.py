"""What RETENTION_DAYS deletes of the gateways' slice, each statement for `common.retention.Retention`."""

_DELETE = """
WITH due AS (
    SELECT {key} FROM stream_gateway.{table} WHERE {of_age} < now() - make_interval(days => $1){ended}
    ORDER BY {of_age} LIMIT $2 FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM stream_gateway.{table} t USING due WHERE t.{key} = due.{key}
)
SELECT count(*) FROM due
"""

# Whose a plan is can be asked again; a cancellation that is still worked on is not old.
STATEMENTS = (
    _DELETE.format(table="plan_streams", key="plan_id", of_age="created_at", ended=""),
    _DELETE.format(table="stream_sessions", key="id", of_age="opened_at", ended=""),
    _DELETE.format(table="cancel_requests", key="id", of_age="requested_at", ended=" AND answered_at IS NOT NULL"),
)
