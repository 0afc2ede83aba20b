"""What services show Prometheus, read by prometheus-client's own parser; and the counters of this process."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import httpx
from prometheus_client import Counter, Metric
from prometheus_client.parser import text_string_to_metric_families

from local_stack import Stack

# Of every Python process; ours begin with `planstream_`.
OURS = "planstream_"


async def families(stack: Stack) -> list[Metric]:
    """All of ours, of each process."""
    found: list[Metric] = []
    async with httpx.AsyncClient() as client:
        for url in stack.addresses.metrics.values():
            answer = (await client.get(url)).raise_for_status()
            found += [each for each in text_string_to_metric_families(answer.text) if each.name.startswith(OURS)]
    return found


class Reading:
    """The samples of a moment, summed over the processes."""

    def __init__(self, found: list[Metric]) -> None:
        self._values: dict[tuple[str, frozenset[tuple[str, str]]], float] = defaultdict(float)
        for family in found:
            for sample in family.samples:
                self._values[sample.name, frozenset(sample.labels.items())] += sample.value

    def of(self, name: str, labels: Mapping[str, str] | None = None) -> float:
        """The sum of a sample over all processes and all labels that are not given; the name without `planstream_`."""
        wanted = frozenset((labels or {}).items())
        return sum(value for (found, has), value in self._values.items() if found == OURS + name and wanted <= has)


async def read(stack: Stack) -> Reading:
    """The samples of now."""
    return Reading(await families(stack))


@contextmanager
def counted(counter: Counter, **labels: str) -> Iterator[Callable[[], float]]:
    """`with counted(metrics.SWEPT, what="exhausted") as more`: `more()` is what was added within, and so far."""
    before = _total(counter, labels)
    last: list[float] = []

    def more() -> float:
        return (last[0] if last else _total(counter, labels)) - before

    try:
        yield more
    finally:
        last.append(_total(counter, labels))


def _total(counter: Counter, labels: Mapping[str, str]) -> float:
    samples = [sample for family in counter.collect() for sample in family.samples if sample.name.endswith("_total")]
    return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())
