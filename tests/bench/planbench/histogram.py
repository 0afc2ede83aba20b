"""What is read out of the histograms that `native/histogram.c` fills: its arithmetic the other way round. Pure."""

from dataclasses import dataclass, field
from typing import Any, Self

SUB_BITS = 5
_SUBS = 1 << SUB_BITS


def bucket_of(value: int) -> int:
    """The bucket of a value in microseconds, as the C programs count it."""
    if value < _SUBS:
        return max(value, 0)
    shift = value.bit_length() - 1 - SUB_BITS
    return (shift + 1) * _SUBS + (value >> shift) - _SUBS


def highest_of(bucket: int) -> int:
    """The highest value that falls into a bucket."""
    if bucket < _SUBS:
        return bucket
    shift = bucket // _SUBS - 1
    return ((bucket % _SUBS + _SUBS + 1) << shift) - 1


@dataclass(slots=True)
class Histogram:
    """Counts by bucket; values are microseconds unless the owner says otherwise."""

    buckets: dict[int, int] = field(default_factory=dict)
    count: int = 0
    least: int = 0
    most: int = 0
    total: float = 0.0

    @classmethod
    def read(cls, printed: dict[str, Any]) -> Self:
        """What a C program has printed."""
        buckets = {int(bucket): int(count) for bucket, count in printed["buckets"]}
        return cls(buckets, printed["count"], printed["min"], printed["max"], printed["sum"])

    def plus(self, other: "Histogram") -> "Histogram":
        """Both together."""
        if not (self.count and other.count):
            return self if self.count else other
        buckets = dict(self.buckets)
        for bucket, count in other.buckets.items():
            buckets[bucket] = buckets.get(bucket, 0) + count
        return Histogram(
            buckets,
            self.count + other.count,
            min(self.least, other.least),
            max(self.most, other.most),
            self.total + other.total,
        )

    @property
    def mean(self) -> float:
        """The arithmetic mean; 0 of nothing."""
        return self.total / self.count if self.count else 0.0

    def quantile(self, share: float) -> int:
        """The value that `share` of all values do not exceed: its bucket's highest, so at most 3 % too much."""
        wanted = share * self.count
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= wanted:
                return min(highest_of(bucket), self.most)
        return self.most

    def steps(self) -> list[tuple[int, float]]:
        """The distribution for a plot: each bucket's highest value, and the share of values up to it."""
        seen = 0
        steps = []
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            steps.append((highest_of(bucket), seen / self.count))
        return steps

    def milliseconds(self) -> dict[str, float]:
        """What the tables and the JSON show, in milliseconds."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99, "p999": 0.999}
        figures = {name: round(self.quantile(share) / 1000, 3) for name, share in shares.items()}
        return {"count": self.count, **figures, "max": round(self.most / 1000, 3), "mean": round(self.mean / 1000, 3)}
