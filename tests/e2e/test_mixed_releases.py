"""An upgrade half-way: processes of an earlier release and of this one do one work, on this release's schema."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import httpx
import pytest

from local_stack import Stack
from testkit import OpenStack, User, Viewer, written

pytestmark = [pytest.mark.full, pytest.mark.timeout(180)]

ROOT = Path(__file__).parents[2]
# What ran in production five days before this test was written. A release that is to be upgraded from comes here.
EARLIER = "195ab572a609e0e7f86afee732bbd999331e9a19"
SOURCES = ("libs/common/src", "services/plan-api/src", "services/generator/src", "services/stream-gateway/src")
SLOWER = {"EMULATOR_TOKENS_PER_SECOND": "250"}

# Who is of the earlier release: the order of an upgrade, generators first, and that of taking one back.
HALF_WAY = {
    "nothing but the schema is new": {"plan-api", "gateway-1", "gateway-2", "generator-1", "generator-2"},
    "the first generator is new": {"plan-api", "gateway-1", "gateway-2", "generator-2"},
    "the generators are new": {"plan-api", "gateway-1", "gateway-2"},
    "a gateway is old": {"gateway-2"},
    "plan-api is old": {"plan-api"},
}


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> str:
    """PYTHONPATH of the earlier release's code."""
    folder = tmp_path_factory.mktemp("earlier")
    archive = subprocess.run(["git", "archive", EARLIER, *SOURCES], cwd=ROOT, check=False, capture_output=True)
    if archive.returncode != 0:
        pytest.skip(f"needs the commit {EARLIER[:7]}, which a shallow clone does not have")
    subprocess.run(["tar", "-x", "-C", str(folder)], input=archive.stdout, check=True)
    path = ":".join(str(folder / source) for source in SOURCES)
    asked = [sys.executable, "-c", "import common, generator; print(common.__file__, generator.__file__)"]
    said = subprocess.run(asked, env={"PYTHONPATH": path}, check=True, capture_output=True, text=True).stdout
    assert all(each.startswith(str(folder)) for each in said.split()), said
    return path


def of_releases(old: set[str], path: str) -> Callable[[str, Mapping[str, str]], Mapping[str, str]]:
    """The environment of each process: those named run the earlier code."""

    def choose(name: str, environment: Mapping[str, str]) -> Mapping[str, str]:
        return {**environment, "PYTHONPATH": path} if name in old else environment

    return choose


async def follow(viewer: Viewer) -> None:
    """Come again until the plan has ended."""
    async with asyncio.timeout(60):
        while viewer.end is None:
            try:
                await viewer.watch()
            except httpx.HTTPError:
                await asyncio.sleep(0.2)


async def watched_at_both(user: User, elsewhere: User) -> None:
    """Several plans, so that both generators write some: each is seen alike at both gateways, and is what is stored."""
    plans = [await user.start() for _ in range(6)]
    viewers = [(user.viewer(plan_id), elsewhere.viewer(plan_id)) for plan_id in plans]
    await asyncio.gather(*(follow(viewer) for pair in viewers for viewer in pair))
    for plan_id, (here, there) in zip(plans, viewers, strict=True):
        assert (here.names[-1], there.names[-1]) == ("complete", "complete")
        assert here.plan == there.plan == (await elsewhere.plan(plan_id))["plan"]


async def taken_over(stack: Stack, user: User, elsewhere: User) -> None:
    """Each generator in turn is lost while plans are written: the other, of the other release, goes on with them."""
    for lost in ("generator-1", "generator-2"):
        plans = [await user.start() for _ in range(4)]
        viewers = [elsewhere.viewer(plan_id) for plan_id in plans]
        following = asyncio.gather(*(follow(viewer) for viewer in viewers))
        async with asyncio.timeout(20):
            while any(viewer.names.count("progress") < 5 for viewer in viewers):
                await asyncio.sleep(0.02)
        await stack.kill(lost)
        await following
        assert {viewer.names[-1] for viewer in viewers} == {"complete"}
        await stack.start(lost)


async def stopped_and_called(user: User, elsewhere: User) -> None:
    """A cancel at the other gateway, the synchronous call, a delete, and the account that counts all of it."""
    plan_id = await user.start()
    viewer = user.viewer(plan_id)
    await viewer.watch(written(200))
    assert (await elsewhere.cancel(plan_id)).json()["status"] in ("partial", "completed")
    called = await elsewhere.http.post("/api/plan/generate", json=elsewhere.body(await user.inputs()))
    assert called.json()["status"] == "completed"
    assert (await elsewhere.http.delete(f"/api/plan/plans/{plan_id}")).status_code == 204
    assert (await user.http.get(f"/api/plan/plans/{plan_id}")).status_code == 404
    async with asyncio.timeout(15):
        while (quota := await user.quota())["reserved"]:
            await asyncio.sleep(0.1)
    plans = (await user.get("/api/plan/plans?limit=50"))["plans"]
    # The deleted one is counted, and no longer seen.
    assert quota["used"] == len(plans) + 1


@pytest.mark.provokes("5xx", "a generator that is killed answers nothing for a moment")
@pytest.mark.parametrize("half_way", HALF_WAY)
async def test_two_releases_do_one_work(open_stack: OpenStack, earlier: str, half_way: str) -> None:
    """Streams, takeovers, cancels, calls and the quota, with whichever processes are of the earlier release.

    The first is also how a release is taken back: migrated, and then not rolled.
    """
    names = HALF_WAY[half_way]
    two_generators = len(names & {"generator-1", "generator-2"}) == 1
    async with (
        open_stack(
            SLOWER if two_generators else {}, generators=2, gateways=2, rewire=of_releases(names, earlier)
        ) as stack,
        User.at(stack.gateway) as user,
        User.at(stack.addresses.gateways[1], user.id) as elsewhere,
    ):
        await watched_at_both(user, elsewhere)
        if two_generators:
            await taken_over(stack, user, elsewhere)
        await stopped_and_called(user, elsewhere)
