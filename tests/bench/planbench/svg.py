"""A small line chart as SVG text. Pure."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

_WIDTH, _HEIGHT = 720, 360
_LEFT, _RIGHT, _TOP, _BOTTOM = 70, 150, 40, 50
_COLOURS = ("#2563eb", "#dc2626", "#059669", "#d97706", "#7c3aed", "#0891b2")


@dataclass(frozen=True, slots=True)
class Series:
    """One line: a name and its points."""

    name: str
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A label and where its ticks are, in the data's units; `log` for a logarithmic one."""

    label: str
    ticks: Sequence[float]
    log: bool = False

    def place(self, value: float) -> float:
        """From 0 to 1 between the first and the last tick."""
        first, last = self.ticks[0], self.ticks[-1]
        if self.log:
            first, last, value = math.log(first), math.log(last), math.log(max(value, self.ticks[0]))
        return min(max((value - first) / ((last - first) or 1), 0.0), 1.0)


def line_chart(title: str, x: Axis, y: Axis, series: Sequence[Series], *, steps: bool = False) -> str:
    """The chart; `steps` draws distributions without a mark at every point."""

    def across(value: float) -> float:
        return _LEFT + x.place(value) * (_WIDTH - _LEFT - _RIGHT)

    def down(value: float) -> float:
        return _HEIGHT - _BOTTOM - y.place(value) * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="22" font-size="14" font-weight="bold">{escape(title)}</text>',
        *_frame(x, y, across, down),
    ]
    for number, each in enumerate(series):
        parts += _line(each, number, across, down, marks=not steps)
    return "\n".join([*parts, "</svg>", ""])


def _frame(x: Axis, y: Axis, across: Callable[[float], float], down: Callable[[float], float]) -> list[str]:
    right, bottom = _WIDTH - _RIGHT, _HEIGHT - _BOTTOM
    parts = []
    for tick in x.ticks:
        at = across(tick)
        parts.append(f'<line x1="{at:.1f}" y1="{_TOP}" x2="{at:.1f}" y2="{bottom}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{at:.1f}" y="{bottom + 16}" text-anchor="middle">{_short(tick)}</text>')
    for tick in y.ticks:
        at = down(tick)
        parts.append(f'<line x1="{_LEFT}" y1="{at:.1f}" x2="{right}" y2="{at:.1f}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{_short(tick)}</text>')
    middle = (_TOP + bottom) / 2
    parts.append(f'<text x="{(_LEFT + right) / 2}" y="{_HEIGHT - 12}" text-anchor="middle">{escape(x.label)}</text>')
    parts.append(
        f'<text x="16" y="{middle}" text-anchor="middle" transform="rotate(-90 16 {middle})">{escape(y.label)}</text>'
    )
    return parts


def _line(
    series: Series, number: int, across: Callable[[float], float], down: Callable[[float], float], *, marks: bool
) -> list[str]:
    colour = _COLOURS[number % len(_COLOURS)]
    places = [(across(x), down(y)) for x, y in series.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    legend = _TOP + 14 + 18 * number
    parts = [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>']
    if marks:
        parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
    parts.append(f'<rect x="{_WIDTH - _RIGHT + 12}" y="{legend - 9}" width="10" height="10" fill="{colour}"/>')
    parts.append(f'<text x="{_WIDTH - _RIGHT + 28}" y="{legend}">{escape(series.name)}</text>')
    return parts


def _short(value: float) -> str:
    for size, unit in ((1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def nice_ticks(most: float, count: int = 5) -> list[float]:
    """From 0 to at least `most` in round steps."""
    if most <= 0:
        return [0.0, 1.0]
    rough = most / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    return [round(step * number, 10) for number in range(math.ceil(most / step) + 1)]
