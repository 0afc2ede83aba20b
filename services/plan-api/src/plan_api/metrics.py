"""What plan-api counts and measures; docs/observability.md says what each is good for."""

from prometheus_client import Counter, Gauge, Histogram

from common.metrics import PLAN_BUCKETS

OUTBOX_ROWS = Gauge("planstream_plan_api_outbox_rows", "Jobs that JetStream does not have yet")
OUTBOX_AGE = Gauge("planstream_plan_api_outbox_age_seconds", "Age of the oldest of them")
UNSETTLED = Gauge("planstream_plan_api_unsettled", "Reservations of plans that have not ended yet")
UNSETTLED_AGE = Gauge("planstream_plan_api_unsettled_age_seconds", "Age of the oldest of them")
LOOP_LAG = Gauge("planstream_plan_api_loop_lag_seconds", "How late timers are")

ADMISSIONS = Counter(
    "planstream_plan_api_admissions", "Requests for a plan: accepted, replayed, or the code of the refusal",
    ["mode", "result"],
)  # fmt: skip
SETTLED = Counter(
    "planstream_plan_api_settled", "Reservations that were settled, by status and charge", ["status", "charge"]
)
RECONCILED = Counter("planstream_plan_api_reconciled", "What became of reservations without news", ["verdict"])
SYNCHRONOUS = Histogram(
    "planstream_plan_api_synchronous_seconds", "The synchronous call, from admission to answer", ["result"],
    buckets=PLAN_BUCKETS,
)  # fmt: skip
