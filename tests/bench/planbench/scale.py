"""How much of everything: a minute's smoke run, a short run, and the full one."""

from dataclasses import dataclass

from planbench.rig import TOKENS


@dataclass(frozen=True, slots=True)
class Scale:
    """Sizes of the profiles. Lengths in tokens, times in seconds."""

    runs: int = 3
    tokens: int = TOKENS
    plans: tuple[int, ...] = (20, 150, 450)
    floors: tuple[int, ...] = (150, 450)
    control: tuple[int, ...] = (150, 450)
    control_seconds: float = 20
    proxied_calls: int = 1000
    viewed_runs: int = 2
    viewed_plans: int = 50
    viewers: int = 20
    viewed_tokens: int = TOKENS
    idle_streams: int = 10_000
    idle_seconds: float = 35
    slope_plans: tuple[int, ...] = (20, 40, 80, 160, 320, 640)
    slope_lengths: tuple[int, ...] = (500, 1000, 2000)
    slope_viewers: tuple[int, ...] = (1, 2, 4, 8)
    slope_tokens: int = 1000
    rows: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    row_probes: int = 200
    short_plans: int = 20_000
    yardstick_seconds: float = 6

    def has(self, profile: str) -> bool:
        """Whether there is anything to measure in this profile."""
        return {"control": bool(self.control), "slopes": bool(self.slope_plans or self.rows)}.get(profile, True)


FULL = Scale()
SHORT = Scale(
    runs=1,
    tokens=600,
    plans=(20, 150),
    floors=(150,),
    control=(),
    proxied_calls=200,
    viewed_runs=1,
    viewed_tokens=500,
    idle_streams=1500,
    idle_seconds=12,
    slope_plans=(),
    slope_lengths=(),
    slope_viewers=(),
    rows=(),
    short_plans=300,
    yardstick_seconds=3,
)
QUICK = Scale(
    runs=1,
    tokens=200,
    plans=(20,),
    floors=(20,),
    control=(20,),
    control_seconds=3,
    proxied_calls=100,
    viewed_runs=1,
    viewed_plans=5,
    viewers=5,
    viewed_tokens=200,
    idle_streams=200,
    idle_seconds=2,
    slope_plans=(),
    slope_lengths=(),
    slope_viewers=(),
    rows=(1_000, 2_000),
    row_probes=10,
    short_plans=40,
    yardstick_seconds=2,
)
