"""The three services in one process, their spans in one memory: what becomes of a plan is one trace."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from pydantic import SecretStr

import generator.app
import generator.settings
import plan_api.app
import plan_api.settings
import stream_gateway.app
import stream_gateway.settings
from common import tracing
from common.server import Draining
from openrouter_emulator import Settings as EmulatorSettings
from openrouter_emulator import running_emulator
from testkit import User
from testkit.secrecy import OPENROUTER_KEY, SERVICE_TOKEN
from testkit.serving import serving

# Made up by a browser's own tracing, which may have begun the trace.
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    """What is recorded; tracing is off again afterwards."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracing.use(provider)
    yield exporter
    tracing.use(None)


@pytest.fixture
async def gateway(
    spans: InMemorySpanExporter, migrated: Callable[[str], Awaitable[str]], nats_url: str
) -> AsyncIterator[str]:
    """The whole product behind a gateway's address; it is opened when tracing is on."""
    assert spans is not None
    common = {"nats_url": SecretStr(nats_url), "service_token": SecretStr(SERVICE_TOKEN), "host": "127.0.0.1"}

    async def own(service: str) -> dict[str, object]:
        return {**common, "database_url": SecretStr(await migrated(service))}

    async with AsyncExitStack() as opened:
        emulator = await opened.enter_async_context(
            running_emulator(EmulatorSettings(ttft_seconds=0.02, tokens_per_second=2000))
        )
        writing = generator.settings.Settings.model_validate(
            {
                **await own("generator"),
                "openrouter_api_key": OPENROUTER_KEY,
                "openrouter_base_url": emulator.base_url,
            }
        )
        generators = await opened.enter_async_context(serving(generator.app.create_app(writing, Draining())))
        planning = plan_api.settings.Settings.model_validate({**await own("plan_api"), "generator_urls": generators})
        plans = await opened.enter_async_context(serving(plan_api.app.create_app(planning, Draining())))
        watching = stream_gateway.settings.Settings.model_validate(
            {
                **await own("stream_gateway"),
                "auth_mode": "dev",
                "plan_api_url": plans,
                "generator_urls": generators,
            }
        )
        yield await opened.enter_async_context(serving(stream_gateway.app.create_app(watching, Draining())))


def _line(span: ReadableSpan, known: dict[int, ReadableSpan]) -> list[str]:
    """The names from the root of its trace to a span."""
    above = known.get(span.parent.span_id) if span.parent is not None else None
    return [*(_line(above, known) if above else []), span.name]


async def test_a_plan_is_one_trace(gateway: str, spans: InMemorySpanExporter) -> None:
    """From the POST over the outbox, NATS and OpenRouter to the first event that is written to the viewer."""
    async with User.at(gateway) as user:
        body = user.body(await user.inputs())
        spans.clear()
        viewer = user.viewer()
        await viewer.start(body, headers={"traceparent": CALLER})
        assert viewer.names[-1] == "complete"
    done = {span.context.span_id: span for span in spans.get_finished_spans() if span.context is not None}
    trace = {
        " > ".join(_line(span, done)): span
        for span in done.values()
        if span.context is not None and f"{span.context.trace_id:032x}" == CALLER.split("-")[1]
    }
    post, admission = "HTTP POST", "HTTP POST > HTTP POST"
    assert trace.keys() == {
        post,
        f"{post} > wait for the first event",
        admission,
        f"{admission} > publish job",
        f"{admission} > write plan",
        f"{admission} > write plan > call OpenRouter",
    }
    paths = [(trace[name].attributes or {})["url.path"] for name in (post, admission)]
    assert paths == ["/api/streaming/generate-plan", "/internal/generations"]
    first, call = trace[f"{post} > wait for the first event"], trace[f"{admission} > write plan > call OpenRouter"]
    assert (first.end_time or 0) > (call.start_time or 0)
    assert (first.end_time or 0) < (call.end_time or 0)


async def test_a_stream_ends_its_span_with_its_start(gateway: str, spans: InMemorySpanExporter) -> None:
    """A plan may be written for minutes; a span that is open so long would be lost with its process."""
    async with User.at(gateway) as user:
        body = user.body(await user.inputs())
        spans.clear()
        seen: list[str] = []

        def until(_: object) -> bool:
            seen.extend(span.name for span in spans.get_finished_spans() if span.name == "HTTP POST")
            return True

        await user.viewer().start(body, until=until)
    assert len(seen) >= 2


def test_off_nothing_is_recorded_or_imported() -> None:
    """Without an endpoint there is no provider, no header and no span, whatever a caller sends."""
    tracing.configure("test", None)()
    assert not tracing.is_on()
    with tracing.span("nothing", CALLER):
        assert tracing.traceparent() is None
