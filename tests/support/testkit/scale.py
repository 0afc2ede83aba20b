"""How much load a fault meets, and how fast the model writes meanwhile. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast the model writes: so many pieces a second, of so many characters."""

    tokens_per_second: float
    chars_per_token: int


@dataclass(frozen=True, slots=True)
class Scale:
    """How much load.

    `plans` are watched by `viewers`. Of the plans so many are cancelled, left alone by their only viewer, broken off by
    upstream in the middle and continued, or failed by it; beside them so many `calls` are synchronous. `spread` is over
    how many seconds all are started; each start is sent `twins` times at once; `roaming` is the share of later viewers
    that break off again and again; `clock_offset` is how many seconds the clients' clock is off, which they say in the
    header `Date`. A large plan has some 24,000 characters instead of 5,000. `patience` multiplies the bounds of what is
    measured, on a machine that has other work; the invariants' own deadlines stay.
    """

    plans: int = 30
    viewers: int = 60
    calls: int = 3
    spread: float = 1.5
    cancels: int = 3
    abandons: int = 2
    breaks: int = 3
    fails: int = 2
    twins: int = 1
    roaming: float = 0.5
    clock_offset: float = 0.0
    large: bool = False
    patience: float = 1.0
