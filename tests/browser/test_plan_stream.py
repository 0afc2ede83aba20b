"""plan-stream.js on Node against the running gateway, beside independent clients of the same streams."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import httpx
import pytest
from httpx_sse import EventSource

from common.fold import apply
from local_stack import Stack
from testkit import User
from testkit.npm import NODE, needs_node, packages_in, run_script
from testkit.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ROOT = Path(__file__).parents[2]
NODE_SCRIPTS = Path(__file__).parent / "node"
KEPT = ROOT / ".run" / "browser-packages"
PAGE = ROOT / "services" / "stream-gateway" / "src" / "stream_gateway" / "page"

pytestmark = [pytest.mark.timeout(180), needs_node]


@pytest.fixture(scope="module")
def packages() -> Path:
    """What the scripts import."""
    return packages_in(KEPT, NODE_SCRIPTS)


@pytest.fixture
def client(packages: Path) -> "Callable[..., Awaitable[dict[str, Any]]]":
    """`await client(gateway, user, transport, goals)` is what plan-stream.js came to."""
    return lambda *arguments: run_script(packages, NODE_SCRIPTS / "plan-stream.js", *map(str, arguments))


async def _stored(stack: Stack, user: UUID, plan_id: str) -> Any:
    async with User.at(stack.gateway, user) as known:
        return (await known.plan(UUID(plan_id)))["plan"]


@pytest.mark.parametrize("transport", ["fetch", "eventsource"])
async def test_from_start_to_end(
    stack: Stack, client: "Callable[..., Awaitable[dict[str, Any]]]", transport: str
) -> None:
    """Over fetch and over EventSource: one POST, and in the end the stored document."""
    user = uuid4()
    told = await client(stack.gateway, user, transport, "Learn to juggle")
    assert (told["status"], told["posts"], told["error"]) == ("completed", 1, None)
    assert told["names"][0] == "connected"
    assert told["names"][-1] == "complete"
    assert told["names"].count("progress") > 10
    assert told["plan"] == await _stored(stack, user, told["planId"])


async def _cut_now_and_then(proxy: Proxy, times: int) -> None:
    for _ in range(times):
        await asyncio.sleep(0.9)
        await proxy.refuse()
        proxy.cut()
        await asyncio.sleep(0.3)
        await proxy.accept()


@pytest.mark.provokes("crash", "asyncio logs connections that the test's own proxy cuts")
@pytest.mark.parametrize("transport", ["fetch", "eventsource"])
async def test_it_comes_back_by_itself(
    stack: Stack, client: "Callable[..., Awaitable[dict[str, Any]]]", transport: str
) -> None:
    """Cut again and again it resumes with its last id, never POSTs again, and misses and repeats nothing."""
    user = uuid4()
    async with Proxy() as proxy:
        host, port = stack.gateway.removeprefix("http://").split(":")
        proxy.target = (host, int(port))
        cutting = asyncio.create_task(_cut_now_and_then(proxy, 3))
        told = await client(f"http://127.0.0.1:{proxy.port}", user, transport, "Learn to juggle with fire")
        await cutting
    assert proxy.cuts >= 2
    assert (told["status"], told["posts"]) == ("completed", 1)
    assert told["names"].count("connected") >= 2
    assert told["plan"] == await _stored(stack, user, told["planId"])


@pytest.mark.parametrize("transport", ["fetch", "eventsource"])
async def test_a_signal_ends_the_watching_alone(
    stack: Stack,
    client: "Callable[..., Awaitable[dict[str, Any]]]",
    transport: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An AbortSignal ends the iteration at once, on whatever transport; the plan itself is still written."""
    monkeypatch.setenv("ABORT_AFTER", "5")
    user = uuid4()
    told = await client(stack.gateway, user, transport, "Learn to juggle")
    assert (told["stopped"], told["posts"], len(told["names"])) == ("AbortError", 1, 5)
    async with User.at(stack.gateway, user) as known:
        assert (await known.status(UUID(told["planId"])))["status"] == "generating"


async def test_a_plan_that_is_over_and_one_that_is_not_there(
    stack: Stack, client: "Callable[..., Awaitable[dict[str, Any]]]"
) -> None:
    """Watched from the beginning it is the end; from its last id there is nothing more; a wrong id is an error."""
    user = uuid4()
    written = await client(stack.gateway, user, "fetch", "Learn to juggle")
    again = await client(stack.gateway, user, "fetch", "", written["planId"])
    assert (again["names"], again["plan"]) == (["connected", "complete"], written["plan"])
    over = await client(stack.gateway, user, "fetch", "", written["planId"], written["last"])
    assert (over["names"], over["reconnects"]) == ([], 0)
    with pytest.raises(AssertionError, match="not_found"):
        await client(stack.gateway, user, "fetch", "", uuid4())


async def test_independent_clients_end_with_the_same(stack: Stack, packages: Path) -> None:
    """`eventsource` and `@microsoft/fetch-event-source` on Node, and httpx-sse here: the stored document, all three."""
    async with User.at(stack.gateway) as user:
        plan_id = await user.start()
        url = f"{stack.gateway}/api/streaming/events/{plan_id}"
        others = asyncio.create_task(run_script(packages, NODE_SCRIPTS / "others.js", url, str(user.id)))
        held: Any = None
        async with user.http.stream("GET", url, timeout=30) as response:
            async for event in EventSource(response).aiter_sse():
                data = json.loads(event.data)
                held = apply(held, data["ops"]) if event.event == "progress" else data.get("plan", held)
        told = await others
        stored = (await user.plan(plan_id))["plan"]
    assert (told["eventsource"], told["fetchEventSource"], held) == (stored, stored, stored)


async def test_a_stream_in_any_pieces_and_every_operation(packages: Path, tmp_path: Path) -> None:
    """As WHATWG HTML says, wherever the bytes are cut; operations give what `common.fold` gives."""
    streams = {
        "event: a\ndata: 1\nid: x\n\n": ([{"event": "a", "data": "1", "id": "x"}], "x", None),
        "\ufeffdata:1\r\ndata: 2\r\n\r\n": ([{"event": "message", "data": "1\n2", "id": ""}], "", None),
        ": beat\r\rretry: 250\rid: a\0b\rdata\r\r\n": ([{"event": "message", "data": "", "id": ""}], "", 250),
        "event: lost\n\nretry: soon\n\ndata: half": ([], "", None),
    }
    folds: list[list[dict[str, Any]]] = [
        [{"op": "add", "path": "", "value": "a"}, {"op": "append", "path": "", "value": "b"}],
        [
            {"op": "add", "path": "", "value": {}},
            {"op": "add", "path": "/a~1b~0", "value": ["x"]},
            {"op": "add", "path": "/a~1b~0/0", "value": "w"},
            {"op": "add", "path": "/a~1b~0/-", "value": "y"},
            {"op": "append", "path": "/a~1b~0/2", "value": "z"},
            {"op": "replace", "path": "/a~1b~0/1", "value": None},
            {"op": "add", "path": "/__proto__", "value": {"polluted": True}},
            {"op": "add", "path": "/c", "value": 1},
        ],
    ]
    cases = tmp_path / "cases.json"
    cases.write_text(json.dumps({"streams": list(streams), "folds": folds}))
    module = tmp_path / "plan-stream.mjs"
    module.write_text((PAGE / "plan-stream.js").read_text())
    told = await run_script(packages, NODE_SCRIPTS / "parser.js", str(module), str(cases))
    for (events, last, retry), every in zip(streams.values(), told["streams"], strict=True):
        assert all(each == {"events": events, "last": last, "retry": retry} for each in every)
    assert told["folds"] == [apply(None, ops) for ops in json.loads(json.dumps(folds))]


def test_the_types_are_those_of_the_module(packages: Path, tmp_path: Path) -> None:
    """TypeScript, strict, takes a program that uses the module, and refuses a status that does not exist."""
    for name in ("plan-stream.js", "plan-stream.d.ts"):
        (tmp_path / name).write_text((PAGE / name).read_text())
    (tmp_path / "types.ts").write_text((NODE_SCRIPTS / "types.ts").read_text())
    compiler = packages / "node_modules" / "typescript" / "bin" / "tsc"
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "nodenext", "--lib", "es2022,dom,dom.iterable"]
    done = subprocess.run(
        [str(NODE), str(compiler), *options, "types.ts"], cwd=tmp_path, check=False, capture_output=True, timeout=60
    )
    assert done.returncode == 0, done.stdout.decode()


async def test_the_module_is_served_with_its_types(stack: Stack) -> None:
    """As a module that a browser takes, and as it lies here."""
    async with httpx.AsyncClient(base_url=stack.gateway) as http:
        module, types = await http.get("/plan-stream.js"), await http.get("/plan-stream.d.ts")
    assert module.headers["content-type"] == "text/javascript; charset=utf-8"
    assert module.text == (PAGE / "plan-stream.js").read_text()
    assert types.text == (PAGE / "plan-stream.d.ts").read_text()
