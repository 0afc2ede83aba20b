"""Several runs of the same profile as one: medians, with the least and the most beside them. Pure."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any


def typical(runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The runs' figures with the median in place of every number, and the bounds in the same shape."""
    return {
        "runs": len(runs),
        "median": _over(runs, statistics.median),
        "least": _over(runs, min),
        "most": _over(runs, max),
    }


def _over(values: Sequence[Any], choose: Callable[[Sequence[Any]], Any]) -> Any:
    first = values[0]
    if isinstance(first, dict):
        return {key: _over([value[key] for value in values if key in value], choose) for key in first}
    if isinstance(first, int | float):
        return choose(values)
    return first
