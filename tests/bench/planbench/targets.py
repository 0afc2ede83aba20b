"""What is to be reached, held against what was measured. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the table. `met` is None where nothing was measured."""

    what: str
    wanted: str
    measured: str
    met: bool | None
    beside: str = ""
    """The same as a ratio to the yardstick; where that is what is wanted, in absolute terms."""

    sound: bool = False
    """Without this one the others say nothing: what fails is cheap."""


Results = dict[str, Any]
_NONE = "not measured"
# By the number of plans that are written at once.
_LAG_MS = {20: {"p50": 6}, 150: {"p50": 40, "p99": 100}, 450: {"p99": 250}}
_CPU_SECONDS = {150: 0.06, 450: 0.036}
_UPDATES = {150: 10, 450: 3}


def lines(results: Results) -> list[Line]:
    """All lines, in the order in which they are shown."""
    profiles = results.get("profiles", {})
    unit = results["yardstick"]["median"]["us"]
    found: list[Line] = []
    found += _plans(profiles.get("plans", {}), unit)
    found += _budgets(profiles.get("plans", {}).get("150"), unit)
    found += _control(profiles.get("control", {}))
    found += _proxied(profiles.get("proxied"))
    found += _viewers(profiles.get("viewers"))
    found += _idle(profiles.get("idle"))
    found += _slopes(profiles.get("slopes", {}))
    found += _memory(profiles.get("memory"))
    return found


def _most(what: str, limit: float, value: float | None, unit: str, beside: str = "") -> Line:
    if value is None:
        return Line(what, f"≤ {limit:g} {unit}".strip(), _NONE, None)
    return Line(what, f"≤ {limit:g} {unit}".strip(), f"{value:g} {unit}".strip(), value <= limit, beside)


def _least(what: str, limit: float, value: float | None, unit: str) -> Line:
    if value is None:
        return Line(what, f"≥ {limit:g} {unit}".strip(), _NONE, None)
    return Line(what, f"≥ {limit:g} {unit}".strip(), f"{value:g} {unit}".strip(), value >= limit)


def _whole(what: str, lost: float | None) -> Line:
    return replace(_most(f"{what}: lost, differing or without an end", 0, lost, ""), sound=True)


def _at(found: Results | None, *path: str) -> Any:
    for step in path:
        if found is None:
            return None
        found = found.get(step)
    return found


def _plans(plans: Results, unit: float) -> Iterator[Line]:
    for count in (20, 150, 450):
        run = plans.get(str(count))
        median, most = _at(run, "median"), _at(run, "most")
        yield _whole(f"{count} plans", _at(most, "lost"))
        for quantile, limit in _LAG_MS[count].items():
            yield _most(f"{count} plans: lag {quantile}", limit, _at(median, "lagMs", quantile), "ms")
        if count in _CPU_SECONDS:
            cpu = _at(median, "cpuPer1000Tokens", "all")
            beside = "" if cpu is None else f"{cpu * 1000 / unit:.2f} U a token"
            yield _most(f"{count} plans: CPU of 1,000 tokens", _CPU_SECONDS[count], cpu, "s", beside)
        if count in _UPDATES:
            least = _at(median, "updatesPerSecondLeast")
            yield _least(f"{count} plans: updates of every viewer", _UPDATES[count], least, "a second")


def _budgets(run: Results | None, unit: float) -> Iterator[Line]:
    """In yardsticks, at 150 plans. The generator's CPU is one figure: it is held against both its budgets together."""
    median = _at(run, "median")

    def most(what: str, limit: float, name: str) -> Line:
        cpu = _at(median, "steadyCpu", name)
        if cpu is None:
            return _most(what, limit, None, "U")
        microseconds = cpu / median["steadyEvents"] * 1e6
        return _most(what, limit, round(microseconds / unit, 2), "U", f"{microseconds:.1f} µs")

    tokens = None if median is None else median["steadyTokens"] / median["steadyEvents"]
    allowed = 0.5 if tokens is None else round(0.5 * tokens + 0.5, 2)
    yield most("generator: 0.5 U a token and 0.5 U an event, together per event", allowed, "generator")
    yield most("NATS, per event", 0.3, "nats")
    yield most("gateway, per event of a first viewer", 1.6, "gateway")


def _control(control: Results) -> Iterator[Line]:
    names = {"inputs": "inputs", "firstEvent": "first event of a stream", "status": "status", "cancel": "cancel"}
    for count, limit in ((150, 100), (450, 250)):
        run = control.get(str(count))
        yield _whole(f"{count} plans and starts", _at(run, "lost"))
        for key, name in names.items():
            yield _most(f"{count} plans and starts: {name} p99", limit, _quantile(run, f"{key}Ms", "p99"), "ms")


def _quantile(run: Results | None, name: str, quantile: str) -> float | None:
    """Of nothing there is none."""
    value: float | None = _at(run, name, quantile) if _at(run, name, "count") else None
    return value


def _proxied(proxied: Results | None) -> Iterator[Line]:
    added = _at(proxied, "addedP50Ms")
    what = "what the gateway adds to a call of plan-api, p50"
    beside = "" if proxied is None else f"{proxied['throughMs']['p50'] / proxied['directMs']['p50']:.2f} times"
    yield Line(what, "to be seen", _NONE if added is None else f"{added:g} ms", None, beside)


def _viewers(viewers: Results | None) -> Iterator[Line]:
    median = _at(viewers, "median")
    further = _at(median, "furtherUs")
    beside = "" if further is None else f"{further:.1f} µs"
    ratio = None if further is None or further <= 0 else median["furtherToBare"]  # less than nothing is no measurement
    yield _whole("50 plans with 20 viewers each", _at(viewers, "most", "lost"))
    yield _most("a further viewer's event, to a bare ASGI event", 1.1, ratio, "", beside)


def _idle(idle: Results | None) -> Iterator[Line]:
    beside = "" if idle is None else f"{idle['kib'] / idle['bareKib']:.2f} times bare"
    yield _whole("idle streams", _at(idle, "lost"))
    yield _most("idle stream: memory beyond bare ASGI", 20, _at(idle, "beyondBareKib"), "KiB", beside)
    yield _most(
        "idle streams with heartbeats: loop lag p99 (/livez from outside)", 50, _at(idle, "loopLagMs", "p99"), "ms"
    )
    yield _most("half of them reconnect: last snapshot after", 5000, _at(idle, "snapshotMs", "max"), "ms")
    missing = None if idle is None else idle["streams"] // 2 - idle["haveSnapshot"]
    yield _most("half of them reconnect: without a snapshot", 0, missing, "")


def _slopes(slopes: Results) -> Iterator[Line]:
    runs = [run for name in ("plans", "length", "viewers") for run in slopes.get(name) or []]
    yield _whole("more plans, longer ones, more viewers", sum(run["lost"] for run in runs) if runs else None)
    rows = slopes.get("rows") or []
    for name in ("admission", "status", "list"):
        ratio = None
        if rows:
            ratio = round(rows[-1][f"{name}Ms"] / rows[0][f"{name}Ms"], 2)
        span = f" ({rows[0]['at']:,} to {rows[-1]['at']:,})" if rows else ""
        yield _most(f"stored plans{span}: {name} grows by", 1.2, ratio, "times")


def _memory(memory: Results | None) -> Iterator[Line]:
    growth = _at(memory, "growth")
    lost = None if memory is None else memory["lost"] + memory["plans"] - memory["completed"]
    yield _whole("short plans", lost)
    for name in ("gateway", "generator", "plan-api", "nats", "postgres"):
        yield _most(
            f"memory over {memory['plans'] if memory else 20000:,} short plans: {name}",
            1.05,
            _at(growth, name),
            "times",
        )
