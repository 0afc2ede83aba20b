"""What the generator counts and measures; docs/observability.md says what each is good for."""

from prometheus_client import Counter, Gauge, Histogram

from common.metrics import CALL_BUCKETS, PLAN_BUCKETS, Distribution

LIVE_PLANS = Gauge("planstream_generator_live_plans", "Plans that this process writes now")
JOBS_WAITING = Gauge(
    "planstream_generator_jobs_waiting", "Jobs in the queue that no generator has taken; every generator says the same"
)
INTERVAL = Gauge(
    "planstream_generator_interval_seconds", "Between two events of a plan; 0 while there is time to spare"
)
LOOP_LAG = Gauge("planstream_generator_loop_lag_seconds", "How late timers are")

DROPPED = Counter("planstream_generator_messages_dropped", "Messages that NATS could not take")
ENDED = Counter("planstream_generator_plans_ended", "Stored ends, by status and error code", ["status", "code"])
GENERATION = Histogram(
    "planstream_generator_generation_seconds", "From the claim to the stored end", ["status"], buckets=PLAN_BUCKETS
)
FIRST_TOKEN = Histogram(
    "planstream_generator_first_token_seconds", "From the claim to the first text of the model", buckets=CALL_BUCKETS
)
TOKEN_WAIT = Distribution(
    "planstream_generator_token_wait_seconds",
    "How long a plan was not read: a token waited at most so long to be published",
)
NEXT_CALLS = Counter(
    "planstream_generator_next_calls",
    "Calls after the first of an attempt: stream and sync are retries, the others say what they are",
    ["purpose"],
)
BROKEN_CALLS = Counter("planstream_generator_calls_broken", "Upstream calls that ended early, by error code", ["code"])
TAKEOVERS = Counter("planstream_generator_takeovers", "Claims of a plan that somebody had begun")
FENCED = Counter("planstream_generator_fenced", "Ends that could not be stored, because the plan was no longer ours")
CANCEL = Histogram("planstream_generator_cancel_seconds", "From the command to the stored end", buckets=CALL_BUCKETS)
SWEPT = Counter("planstream_generator_swept", "Plans that nobody looked after, by what was done", ["what"])
