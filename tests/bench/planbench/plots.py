"""Which plots the results give. Pure."""

from typing import Any

from planbench.svg import Axis, Series, line_chart, nice_ticks

Results = dict[str, Any]


def draw_all(results: Results) -> dict[str, str]:
    """SVG by name, only of what was measured."""
    profiles = results["profiles"]
    plots: dict[str, str] = {}
    if profiles.get("plans"):
        plots["lag"] = _lag(profiles["plans"], results["floor"])
        plots["cpu"] = _cpu(profiles["plans"])
    slopes = profiles.get("slopes", {})
    for axis, label in (("plans", "plans at once"), ("length", "tokens of a plan"), ("viewers", "viewers of a plan")):
        if len(slopes.get(axis) or []) > 1:
            plots[f"slope-{axis}"] = _slope(slopes[axis], label, axis)
    if len(slopes.get("plans") or []) > 1:
        plots["interval"] = _interval(slopes["plans"])
    if len(slopes.get("rows") or []) > 1:
        plots["slope-rows"] = _rows(slopes["rows"])
    if profiles.get("memory"):
        plots["memory"] = _memory(profiles["memory"])
    return plots


def _lag(plans: Results, floor: Results) -> str:
    series = [Series(f"{count} plans", _tail(found["lagSteps"])) for count, found in plans.items()]
    series += [Series(f"floor, {count}", _tail(found["lagSteps"])) for count, found in floor.items()]
    ticks = (0.01, 0.1, 1, 10, 100, 1000, 10_000)
    return line_chart(
        "Lag of every token, from provider to viewer",
        Axis("ms", ticks, log=True),
        Axis("share of tokens that took longer", (0.0001, 0.001, 0.01, 0.1, 1), log=True),
        series,
        steps=True,
    )


def _tail(steps: list[list[float]]) -> list[tuple[float, float]]:
    return [(value / 1000, max(1 - share, 0.0001)) for value, share in steps if share < 0.9999]


def _cpu(plans: Results) -> str:
    names = ("all", "generator", "gateway", "postgres", "plan-api", "nats")
    counts = [float(count) for count in plans]
    series = [
        Series(name, [(float(count), run["median"]["cpuPer1000Tokens"][name]) for count, run in plans.items()])
        for name in names
    ]
    most = max(y for each in series for _, y in each.points)
    return line_chart(
        "CPU of 1,000 tokens",
        Axis("plans at once", nice_ticks(max(counts))),
        Axis("CPU seconds", nice_ticks(most)),
        series,
    )


def _slope(points: list[Results], label: str, axis: str) -> str:
    key, what = (
        ("gatewayUsPerEvent", "gateway, µs an event") if axis == "viewers" else ("cpuSeconds", "share of a core")
    )
    series = [Series(what, [(float(point["at"]), point[key]) for point in points])]
    return line_chart(
        f"Cost against {label}",
        Axis(label, nice_ticks(max(x for x, _ in series[0].points))),
        Axis(what, nice_ticks(max(y for _, y in series[0].points))),
        series,
    )


def _interval(points: list[Results]) -> str:
    """How the time between two events of a plan stretches, and what lag makes of that."""
    series = [
        Series("between two events", [(float(point["at"]), 1000 / point["updatesPerSecond"]) for point in points]),
        Series("lag, p50", [(float(point["at"]), point["lagP50Ms"]) for point in points]),
        Series("lag, p99", [(float(point["at"]), point["lagP99Ms"]) for point in points]),
    ]
    return line_chart(
        "The interval stretches with the load",
        Axis("plans at once", [float(point["at"]) for point in points], log=True),
        Axis("ms", (0.1, 1, 10, 100, 1000, 10_000), log=True),
        series,
    )


def _rows(points: list[Results]) -> str:
    series = [
        Series(name, [(float(point["at"]), point[f"{name}Ms"]) for point in points])
        for name in ("admission", "status", "list")
    ]
    return line_chart(
        "Answers against stored plans",
        Axis("stored plans in each slice", [float(point["at"]) for point in points], log=True),
        Axis("ms, median", nice_ticks(max(y for each in series for _, y in each.points))),
        series,
    )


def _memory(memory: Results) -> str:
    samples = memory["samples"]
    series = [
        Series(name, [(float(sample["plans"]), sample["kib"][name] / 1024) for sample in samples])
        for name in samples[-1]["kib"]
    ]
    return line_chart(
        "Memory while short plans come and go",
        Axis("plans done", nice_ticks(max(x for each in series for x, _ in each.points))),
        Axis("MiB", nice_ticks(max(y for each in series for _, y in each.points))),
        series,
        steps=True,
    )
