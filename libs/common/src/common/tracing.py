"""One trace for each plan, from the POST over plan-api's outbox, NATS and OpenRouter to the first written event.

It is off, and OpenTelemetry is not even imported, unless OTEL_EXPORTER_OTLP_ENDPOINT says where traces go; what else
the OpenTelemetry SDK reads from the environment (OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES …) holds as well. A
trace goes from process to process as W3C `traceparent`: in the header of a call, and in a job. Nothing is recorded for
each token.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from starlette.types import ASGIApp, Message, Receive, Scope, Send

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

HEADER: Final = "traceparent"

_tracer: "Tracer | None" = None


def configure(service: str, endpoint: str | None) -> Callable[[], None]:
    """Send traces to an OTLP endpoint over HTTP; without one do nothing. The answer sends what is left, and ends it."""
    if endpoint is None:
        return _nothing
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
    # The exporter reads the endpoint from the environment itself, with the path that the specification asks for.
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    use(provider)
    return provider.shutdown


def use(provider: "TracerProvider | None") -> None:
    """Record with this provider; None: not at all."""
    global _tracer
    _tracer = None if provider is None else provider.get_tracer("planstream")


def is_on() -> bool:
    """Whether anything is recorded."""
    return _tracer is not None


@contextmanager
def span(name: str, parent: str | None = None, **attributes: str | int) -> Iterator[None]:
    """Record the block, as a part of what `parent` (a traceparent) says, or of what is going on here.

    An error that leaves the block is recorded and goes on.
    """
    if _tracer is None:
        yield
        return
    with _tracer.start_as_current_span(name, context=_context(parent), attributes=_named(attributes)):
        yield


def begin(name: str, **attributes: str | int) -> Callable[[], None]:
    """Record from now until the answer is called, which may be done twice."""
    if _tracer is None:
        return _nothing
    return _tracer.start_span(name, attributes=_named(attributes)).end


def traceparent() -> str | None:
    """What is going on here, for another process."""
    if _tracer is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get(HEADER)


def _context(parent: str | None) -> "Context | None":
    if parent is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    return TraceContextTextMapPropagator().extract({HEADER: parent})


def _named(attributes: dict[str, str | int]) -> dict[str, str | int]:
    return {f"planstream.{name}": value for name, value in attributes.items()}


def _nothing() -> None:
    pass


class Traced:
    """ASGI middleware: a span for each request, which a caller's `traceparent` may be the parent of.

    That of a stream ends with the start of its answer; when its first event is written is a span of its own.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass everything on."""
        if _tracer is None or scope["type"] != "http" or scope["path"] in {"/livez", "/readyz"}:
            await self._app(scope, receive, send)
            return
        from opentelemetry.trace import SpanKind, StatusCode

        given = next((value.decode("latin-1") for key, value in scope["headers"] if key == HEADER.encode()), None)
        tracer = _tracer
        with tracer.start_as_current_span(
            f"HTTP {scope['method']}",
            context=_context(given),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": scope["method"], "url.path": scope["path"][:200]},
            end_on_exit=False,
        ) as current:

            async def watched(message: Message) -> None:
                if message["type"] == "http.response.start":
                    current.set_attribute("http.response.status_code", message["status"])
                    if message["status"] >= 500:
                        current.set_status(StatusCode.ERROR)
                    if any(value.startswith(b"text/event-stream") for _, value in message.get("headers", ())):
                        current.end()
                await send(message)

            try:
                await self._app(scope, receive, watched)
            finally:
                if current.is_recording():
                    current.end()
