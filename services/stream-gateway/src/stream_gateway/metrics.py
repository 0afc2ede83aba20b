"""What the gateway counts and measures; docs/observability.md says what each is good for."""

from prometheus_client import Counter, Gauge, Histogram

from common.metrics import CALL_BUCKETS, Distribution

OPEN_STREAMS = Gauge("planstream_gateway_open_streams", "Streams and sockets that clients have open")
WATCHED_PLANS = Gauge("planstream_gateway_watched_plans", "Plans with a viewer here")
LOOP_LAG = Gauge("planstream_gateway_loop_lag_seconds", "How late timers are")

ANSWERS = Counter("planstream_gateway_answers", "Answers to HTTP requests, by class of status", ["status"])
VIEWERS_ENDED = Counter("planstream_gateway_viewers_ended", "Viewers that have gone, by reason", ["reason"])
EVENT_LAG = Distribution(
    "planstream_gateway_event_lag_seconds",
    "From publishing to writing an event, beyond the soonest event of its plan: clocks need not agree",
)
CONFLATED = Counter("planstream_gateway_conflations", "Times that a slow viewer's events became one snapshot")
GAPS = Counter("planstream_gateway_gap_repairs", "Times that a plan's state was asked for because an event was missing")
CANCEL = Histogram(
    "planstream_gateway_cancel_seconds", "From a cancellation to the confirmed end", buckets=CALL_BUCKETS
)
