"""What is read out of the bench's histograms."""

import random
from typing import Any

import pytest

from planbench.histogram import Histogram, bucket_of, highest_of


def printed(values: list[int]) -> dict[str, Any]:
    """Values as a C program would count and print them."""
    buckets: dict[int, int] = {}
    for value in values:
        buckets[bucket_of(value)] = buckets.get(bucket_of(value), 0) + 1
    counts = [[bucket, count] for bucket, count in sorted(buckets.items())]
    return {"count": len(values), "min": min(values), "max": max(values), "sum": sum(values), "buckets": counts}


def test_buckets_cover_everything_once() -> None:
    """Each value falls into the bucket whose highest value is the next at or above it."""
    for bucket in range(600):
        highest = highest_of(bucket)
        assert bucket_of(highest) == bucket
        assert bucket_of(highest + 1) == bucket + 1


@pytest.mark.parametrize("share", [0.5, 0.9, 0.99, 0.999])
def test_quantiles_are_three_percent_true(share: float) -> None:
    """A quantile is at least the true one, and at most 1/32 above it."""
    values = [int(random.Random(7).lognormvariate(9, 2)) for _ in range(20_000)]
    rng = random.Random(7)
    values = [int(rng.lognormvariate(9, 2)) for _ in range(20_000)]
    true = sorted(values)[int(share * len(values)) - 1]
    found = Histogram.read(printed(values)).quantile(share)
    assert true <= found <= true * (1 + 1 / 32) + 1


def test_adding_is_counting_together() -> None:
    """Two histograms together are the histogram of both."""
    first, second = [3, 50, 70_000], [1, 50, 9_000_000]
    both = Histogram.read(printed(first)).plus(Histogram.read(printed(second)))
    assert both == Histogram.read(printed(first + second))


def test_nothing_is_nothing() -> None:
    """An empty histogram has a quantile and a mean of 0, and changes nothing that it is added to."""
    empty, one = Histogram(), Histogram.read(printed([5]))
    assert (empty.quantile(0.99), empty.mean) == (0, 0)
    assert empty.plus(one) == one.plus(empty) == one
