"""What happens to plans is to be seen in the metrics, and nobody's id is."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from local_stack import Stack
from testkit import OpenStack, User, written
from testkit.metrics import Reading, families, read
from testkit.upstream import Upstream
from testkit.upstream_cases import always, once

DEADLINE = 15.0
ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "observability.md"
MONITORING = ROOT / "deploy" / "kubernetes" / "components" / "monitoring"
_REFUSED = {"http_error": {"status": 400}}
_SLOW = {"tokens_per_second": 60}


@pytest.fixture
async def upstream(stack: Stack) -> AsyncIterator[Upstream]:
    """The shared stack's model, with a script for each plan."""
    async with Upstream.of(stack) as made:
        yield made


async def _until(stack: Stack, grown: Callable[[Reading], bool]) -> Reading:
    """Settling comes after the end that a viewer sees."""
    async with asyncio.timeout(DEADLINE):
        while not grown(found := await read(stack)):
            await asyncio.sleep(0.05)
    return found


async def test_a_plan_is_counted_on_its_way(stack: Stack) -> None:
    """Admission, generation, first token, events, the viewer's end and the settlement."""
    before = await read(stack)
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        await viewer.start(user.body(await user.inputs()))
    settled = "plan_api_settled_total"
    after = await _until(stack, lambda now: now.of(settled) > before.of(settled))

    def more(name: str, **labels: str) -> float:
        return after.of(name, labels) - before.of(name, labels)

    assert more("plan_api_admissions_total", mode="stream", result="accepted") >= 1
    assert more("plan_api_settled_total", status="completed", charge="used") >= 1
    assert more("generator_plans_ended_total", status="completed", code="none") >= 1
    assert more("generator_generation_seconds_count", status="completed") >= 1
    assert more("generator_first_token_seconds_count") >= 1
    assert more("generator_token_wait_seconds_count") > 20
    assert more("gateway_event_lag_seconds_count") >= viewer.names.count("progress")
    assert more("gateway_viewers_ended_total", reason="ended") >= 1
    assert more("gateway_answers_total", status="2xx") >= 2


async def test_a_cancel_is_timed(stack: Stack, upstream: Upstream) -> None:
    """At the gateway and at the owner; meanwhile the plan is live, and its stream is open."""
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        body = await upstream.scripted(user, (once(**_SLOW),))
        seen: list[Reading] = []
        before = await read(stack)

        async def cancel() -> None:
            seen.append(await read(stack))
            assert viewer.plan_id is not None
            await user.cancel(viewer.plan_id)

        tasks: list[asyncio.Task[None]] = []

        def until(event: object) -> bool:
            if not tasks and written(100)(event):
                tasks.append(asyncio.create_task(cancel()))
            return False

        await viewer.start(body, until=until)
        await tasks[0]
    after = await read(stack)
    assert seen[0].of("generator_live_plans") >= 1
    assert seen[0].of("gateway_open_streams") >= 1
    assert seen[0].of("gateway_watched_plans") >= 1
    for name in ("generator_cancel_seconds_count", "gateway_cancel_seconds_count"):
        assert after.of(name) - before.of(name) >= 1


async def test_failures_are_counted_by_code(stack: Stack, upstream: Upstream) -> None:
    """A model that refuses: the broken calls, the end, and the refusal of what nobody may have."""
    before = await read(stack)
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        await viewer.start(await upstream.scripted(user, (always(**_REFUSED),)))
        assert viewer.names[-1] == "error"
        answer = await user.http.post("/api/streaming/generate-plan", json=user.body(str(uuid4())))
        assert answer.status_code == httpx.codes.NOT_FOUND
    after = await read(stack)
    ended = {"status": "failed", "code": "upstream_error"}
    assert after.of("generator_plans_ended_total", ended) > before.of("generator_plans_ended_total", ended)
    assert after.of("generator_calls_broken_total") > before.of("generator_calls_broken_total")
    refused = {"mode": "stream", "result": "not_found"}
    assert after.of("plan_api_admissions_total", refused) > before.of("plan_api_admissions_total", refused)


async def test_labels_hold_no_ids(stack: Stack) -> None:
    """Each value of a label is a word of the code, so that the number of series is bounded."""
    async with User.at(stack.gateway) as user:
        viewer = user.viewer()
        await viewer.start(user.body(await user.inputs()))
    for family in await families(stack):
        for sample in family.samples:
            for name, value in sample.labels.items():
                words = r"[0-9.]+|\+Inf" if name == "le" else r"[a-z_]{2,30}|[1-5]xx"
                assert re.fullmatch(words, value), f"{sample.name} {name}={value}"


async def test_every_metric_is_described(stack: Stack) -> None:
    """docs/observability.md has a line for each metric that is shown, and for no other."""
    shown = {each.name + ("_total" if each.type == "counter" else "") for each in await families(stack)}
    assert set(re.findall(r"^\| `(planstream_\w+)`", PAGE.read_text(), re.MULTILINE)) == shown


@pytest.mark.full
async def test_a_takeover_is_counted(open_stack: OpenStack) -> None:
    """A generator is killed: the other one claims what it had begun."""
    async with open_stack({"EMULATOR_TOKENS_PER_SECOND": "60"}, generators=2) as stack, User.at(stack.gateway) as user:
        viewer = user.viewer()

        async def kill() -> None:
            live = {
                name: (await _one(stack, name)).of("generator_live_plans") for name in ("generator-1", "generator-2")
            }
            await stack.kill(max(live, key=live.__getitem__))

        tasks: list[asyncio.Task[None]] = []

        def until(event: object) -> bool:
            if not tasks and written(200)(event):
                tasks.append(asyncio.create_task(kill()))
            return False

        await viewer.start(user.body(await user.inputs()), until=until)
        await asyncio.gather(*tasks)
        (dead,) = {"generator-1", "generator-2"} - set(stack.pids)
        (alive,) = {"generator-1", "generator-2"} - {dead}
        assert (await _one(stack, alive)).of("generator_takeovers_total") == 1


async def _one(stack: Stack, name: str) -> Reading:
    async with httpx.AsyncClient() as client:
        answer = await client.get(stack.addresses.metrics[name])
    return Reading(list(text_string_to_metric_families(answer.text)))


@pytest.mark.parametrize("name", ["rules.yaml", "planstream.json"])
async def test_what_is_watched_exists(stack: Stack, name: str) -> None:
    """Every metric in an alert or on the dashboard is one that a running service shows."""
    ends = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "gauge": ("",)}
    shown = {family.name + end for family in await families(stack) for end in ends[family.type]}
    watched = set(re.findall(r"planstream_(?:generator|gateway|plan_api)_\w+", (MONITORING / name).read_text()))
    assert len(watched) > 10
    assert watched <= shown
