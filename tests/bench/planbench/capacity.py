"""How much of everything so many plans an hour need, from the measured figures and a few assumptions. Pure."""

import math
from dataclasses import dataclass
from typing import Any, Final

PLANS_AN_HOUR: Final = (1_000, 100_000, 10_000_000)
PARTS: Final = ("generator", "gateway", "plan-api", "postgres", "nats")


@dataclass(frozen=True, slots=True)
class Assumptions:
    """What is not measured. Money in US dollars."""

    seconds: float = 30
    """A plan takes that long: 1,500 tokens at 50 a second."""
    busy: float = 0.6
    """Share of a core that is planned for; the rest is for peaks, deploys and a failed neighbour."""
    save_seconds: float = 0.8
    """Between two saves of a running plan (generator.saver.INTERVAL_SECONDS)."""
    pool: int = 10
    """Connections that a process may have to Postgres (common.postgres.open_database)."""
    document_bytes: int = 6_000
    """A plan of 1,500 tokens of four characters; a save writes half of it on average, with 500 bytes around."""
    core_hour: float = 0.04
    """A core with 4 GiB, rented by the hour."""
    million_tokens: float = 15.0
    """What a large model's provider takes for a million tokens of output."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the run says of `plans` at once on one core; `cpu` is that of one plan, with its start and its end."""

    plans: int
    cpu: dict[str, float]
    updates: float
    event_bytes: float
    process_mib: dict[str, float]
    stream_kib: float

    @classmethod
    def of(cls, results: dict[str, Any]) -> "Measured | None":
        """From a run's figures; None when it has not measured all of them."""
        profiles = results["profiles"]
        if not all(profiles.get(name) for name in ("plans", "idle", "memory")):
            return None
        count, found = max(profiles["plans"].items(), key=lambda item: int(item[0]))
        run, memory = found["median"], profiles["memory"]
        tokens = run["tokens"] / int(count) / 1000
        return cls(
            plans=int(count),
            cpu={part: run["cpuPer1000TokensWhole"][part] * tokens for part in PARTS},
            updates=run["updatesPerSecond"],
            event_bytes=run["eventBytes"],
            process_mib={name: kib / 1024 for name, kib in memory["samples"][-1]["kib"].items()},
            stream_kib=profiles["idle"]["kib"],
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What so many plans an hour need. `cores` is work, `processes` is how it is cut."""

    plans_an_hour: int
    at_once: float
    cores: dict[str, float]
    processes: dict[str, int]
    memory_gib: float
    messages: float
    nats_megabytes: float
    durable_messages: float
    saved_rows: float
    saved_megabytes: float
    stored_gigabytes_a_day: float
    postgres_connections: int
    rented_cores: int
    cost_an_hour: float
    tokens_cost_an_hour: float


def need(plans_an_hour: int, measured: Measured, given: Assumptions = Assumptions()) -> Need:
    """By Little's law so many plans are written at once; everything else follows from what each costs."""
    a_second = plans_an_hour / 3600
    at_once = a_second * given.seconds
    cores = {part: a_second * measured.cpu[part] for part in PARTS}
    # Two of each of ours, so that one may go; Postgres and NATS are counted in cores.
    processes = {part: max(2, math.ceil(cores[part] / given.busy)) for part in ("generator", "gateway", "plan-api")}
    messages = at_once * measured.updates
    rows = at_once / given.save_seconds
    rented = sum(max(2, math.ceil(cores[part] / given.busy)) for part in PARTS)
    memory = sum(processes[part] * measured.process_mib[part] for part in processes) / 1024
    return Need(
        plans_an_hour=plans_an_hour,
        at_once=at_once,
        cores=cores,
        processes=processes,
        memory_gib=memory + at_once * measured.stream_kib / 1024**2,
        messages=messages,
        nats_megabytes=messages * measured.event_bytes / 1e6,
        durable_messages=2 * a_second,
        saved_rows=rows,
        saved_megabytes=rows * (given.document_bytes / 2 + 500) / 1e6,
        stored_gigabytes_a_day=24 * plans_an_hour * given.document_bytes / 1e9,
        postgres_connections=given.pool * sum(processes.values()),
        rented_cores=rented,
        cost_an_hour=rented * given.core_hour,
        tokens_cost_an_hour=plans_an_hour * given.seconds * 50 / 1e6 * given.million_tokens,
    )
