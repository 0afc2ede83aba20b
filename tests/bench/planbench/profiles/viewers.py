"""What a further viewer of a plan costs: the same plans with one viewer each, and with many."""

from typing import Any

from planbench.profiles import plans
from planbench.rig import Rig
from planbench.yardstick import event_cost


async def measure(rig: Rig, count: int, viewers: int, tokens: int, bare_seconds: float) -> dict[str, Any]:
    """One run each.

    The gateway's CPU for one of a plan's events is `first` with one viewer; every further viewer adds `further`. The
    yardstick writes as many events of the same size a second in the same run.
    """
    one = (await plans.measure(rig, count, tokens)).figures
    many = (await plans.measure(rig, count, tokens, viewers)).figures
    first = one["steadyCpu"]["gateway"] / one["steadyEvents"]
    per_event = many["steadyCpu"]["gateway"] / (many["steadyEvents"] / viewers)
    bare = await event_cost(
        rig.programs,
        rig.cores,
        streams=count * viewers,
        rate=many["steadyEvents"] / many["steadySeconds"] / count / viewers,
        size=int(many["eventBytes"]),
        seconds=bare_seconds,
    )
    further = (per_event - first) / (viewers - 1)
    return {
        "plans": count,
        "viewers": viewers,
        "firstUs": round(first * 1e6, 2),
        "furtherUs": round(further * 1e6, 2),
        "bareUs": bare["us"],
        "furtherToBare": round(further * 1e6 / bare["us"], 3),
        "lost": one["lost"] + many["lost"],
        "lagMs": many["lagMs"],
        "updatesPerSecondLeast": many["updatesPerSecondLeast"],
        "busy": many["busy"],
    }
