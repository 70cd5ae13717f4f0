"""The application side under test, and the bare OpenTelemetry SDK as the floor, doing the same work.

Each contender records one call with twelve attributes and the usage of a response: sync, async, and as a stream.
"""

import asyncio
from collections.abc import Callable, Iterator
from types import SimpleNamespace as Object
from typing import Any, Protocol

CHUNKS = 50
USAGE = Object(
    prompt_tokens=1011,
    completion_tokens=203,
    prompt_tokens_details=Object(cached_tokens=512),
    completion_tokens_details=Object(reasoning_tokens=64),
)
RESPONSE = Object(
    id="chatcmpl-BxC9",
    model="gpt-4o-2024-08-06",
    choices=[Object(finish_reason="stop", message=Object(content="hello", refusal=None, tool_calls=None))],
    usage=USAGE,
)


def chunk(finish: str | None, words: str | None, usage: Any = None) -> Any:
    """One chunk of a stream, with a choice unless it carries the usage."""
    delta = Object(content=words, refusal=None, tool_calls=None)
    choices = [] if usage else [Object(delta=delta, finish_reason=finish)]
    return Object(id="chatcmpl-BxC9", model="gpt-4o-2024-08-06", choices=choices, usage=usage)


STREAM = [*[chunk(None, "word ")] * (CHUNKS - 2), chunk("stop", None), chunk(None, None, USAGE)]


class Contender(Protocol):
    """What is measured."""

    name: str

    def start(self, url: str) -> None:
        """Set up, sending to ``url``."""

    def call(self) -> Callable[[], Any]:
        """A function that is one call."""

    def async_call(self) -> Callable[[], Any]:
        """A coroutine function that is one call."""

    def stream(self) -> Callable[[], Iterator[Any]]:
        """A generator function that is one streamed call."""

    def lost(self) -> int | None:
        """Spans that the contender says it lost; None when it does not say."""

    def stop(self) -> None:
        """Flush everything and stop."""


class Floor:
    """`start_as_current_span`, `set_attributes` of twelve, `BatchSpanProcessor`, OTLP over HTTP: nothing else."""

    name = "floor"

    def start(self, url: str) -> None:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.provider = TracerProvider()
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
        self.tracer = self.provider.get_tracer("floor")

    @staticmethod
    def attributes(response: Any) -> dict[str, Any]:
        usage = response.usage
        return {
            "gen_ai.operation.name": "chat",
            "driftbell.workflow": "answers",
            "driftbell.segment": "de",
            "driftbell.risk_tier": "high",
            "driftbell.owner": "team-a",
            "gen_ai.response.model": response.model,
            "gen_ai.response.id": response.id,
            "gen_ai.response.finish_reasons": ("stop",),
            "gen_ai.usage.input_tokens": usage.prompt_tokens,
            "gen_ai.usage.output_tokens": usage.completion_tokens,
            "gen_ai.usage.cache_read.input_tokens": usage.prompt_tokens_details.cached_tokens,
            "gen_ai.usage.reasoning.output_tokens": usage.completion_tokens_details.reasoning_tokens,
        }

    def call(self) -> Callable[[], Any]:
        def call() -> Any:
            with self.tracer.start_as_current_span("answers") as span:
                span.set_attributes(self.attributes(RESPONSE))
                return RESPONSE

        return call

    def async_call(self) -> Callable[[], Any]:
        async def call() -> Any:
            with self.tracer.start_as_current_span("answers") as span:
                span.set_attributes(self.attributes(RESPONSE))
                return RESPONSE

        return call

    def stream(self) -> Callable[[], Iterator[Any]]:
        def call() -> Iterator[Any]:
            with self.tracer.start_as_current_span("answers") as span:
                for chunk in STREAM:
                    yield chunk
                    if chunk.usage is not None:
                        span.set_attributes(self.attributes(chunk))

        return call

    def lost(self) -> int | None:
        return None

    def stop(self) -> None:
        self.provider.force_flush()
        self.provider.shutdown()


class Ours:
    """`driftbell.monitor` as an application uses it."""

    name = "driftbell"

    def __init__(self, **settings: Any) -> None:
        self.settings = settings

    def start(self, url: str) -> None:
        from driftbell import monitor

        self.monitor = monitor
        monitor.configure(endpoint=url, **self.settings)
        self.observed = monitor.observe(workflow="answers", segment="de", risk_tier="high", owner="team-a")

    def call(self) -> Callable[[], Any]:
        return self.observed(lambda: RESPONSE)

    def async_call(self) -> Callable[[], Any]:
        async def call() -> Any:
            return RESPONSE

        return self.observed(call)

    def stream(self) -> Callable[[], Iterator[Any]]:
        def call() -> Iterator[Any]:
            yield from STREAM

        return self.observed(call)

    def lost(self) -> int | None:
        return sum(self.monitor.dropped().values())

    def stop(self) -> None:
        self.monitor.flush(60)
        self.monitor.shutdown()


CONTENDERS: dict[str, Callable[[], Contender]] = {
    "floor": Floor,
    "driftbell": Ours,
    "driftbell+prices": lambda: Ours(prices={"gpt-4o": {"input": 2.5, "output": 10.0}}),
    "driftbell+fingerprint": lambda: Ours(fingerprint=True),
}


async def await_many(call: Callable[[], Any], times: int) -> None:
    """``times`` awaited calls in one task."""
    for _ in range(times):
        await call()


def run_async(call: Callable[[], Any], times: int) -> None:
    """``times`` awaited calls in a fresh event loop."""
    asyncio.run(await_many(call, times))
