"""Finding time in a day: blocks on a quarter-hour grid that fit the hours and keep clear of commitments. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

GRID = 15
DAY_START = 6 * 60 + 30
DAY_END = 22 * 60
LONGEST_BLOCK = 120


@dataclass(frozen=True, slots=True)
class Block:
    """Minutes since midnight."""

    start: int
    end: int


def find_blocks(random: Random, hours: float, taken: Iterable[Block], wanted: int, earliest: int) -> list[Block]:
    """At most `wanted` blocks in one day, in order, without overlaps, together no longer than `hours`.

    Args:
        random: draws lengths and places.
        taken: commitments; they may overlap and need not lie on the grid.
        earliest: preferred first minute; earlier times are used when nothing else is free.
    """
    left = int(hours * 60) // GRID * GRID
    free = _free_time(taken)
    blocks: list[Block] = []
    for missing in range(wanted, 0, -1):
        if left < GRID:
            break
        length = _length(random, left, missing)
        place = _place(random, free, length, earliest)
        if place is None:
            continue
        blocks.append(place)
        left -= length
        free = _without(free, place)
    return sorted(blocks, key=lambda block: block.start)


def clock(minutes: int) -> str:
    """HH:MM, 24 hours."""
    return f"{minutes // 60:02}:{minutes % 60:02}"


def _length(random: Random, left: int, missing: int) -> int:
    fair_share = left // missing // GRID * GRID
    longest = max(GRID, min(LONGEST_BLOCK, fair_share))
    shortest = min(longest, max(GRID, longest // 2 // GRID * GRID))
    return random.randrange(shortest, longest + GRID, GRID)


def _place(random: Random, free: list[Block], length: int, earliest: int) -> Block | None:
    starts = [start for gap in free for start in range(gap.start, gap.end - length + 1, GRID)]
    preferred = [start for start in starts if start >= earliest]
    if not starts:
        return None
    start = random.choice(preferred or starts)
    return Block(start, start + length)


def _free_time(taken: Iterable[Block]) -> list[Block]:
    free = [Block(DAY_START, DAY_END)]
    for block in taken:
        on_grid = Block(block.start // GRID * GRID, -(-block.end // GRID) * GRID)
        free = _without(free, on_grid)
    return free


def _without(free: list[Block], taken: Block) -> list[Block]:
    rest = []
    for gap in free:
        if taken.end <= gap.start or gap.end <= taken.start:
            rest.append(gap)
            continue
        if gap.start < taken.start:
            rest.append(Block(gap.start, taken.start))
        if taken.end < gap.end:
            rest.append(Block(taken.end, gap.end))
    return rest
