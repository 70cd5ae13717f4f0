"""The peers at the same work as the other contenders, each by the decorator that its documentation shows.

Imported in the environment of one peer, so every import of a peer stands inside its class. Content is switched off
where a peer has a switch for it. Where a peer works on OpenTelemetry spans it records the floor's twelve attributes,
else the model and the usage in its own way.
"""

import os
from collections.abc import Callable, Iterator
from typing import Any

from sdk_contenders import RESPONSE, STREAM, Contender, Floor


class Peer:
    """A decorator, and a way to record what a response tells on the current span."""

    name = "peer"

    def start(self, url: str) -> None:
        raise NotImplementedError

    def decorate(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The peer's decorator."""
        raise NotImplementedError

    def record(self, response: Any) -> None:
        """Put the model and the usage on the current OpenTelemetry span."""
        from opentelemetry import trace

        trace.get_current_span().set_attributes(Floor.attributes(response))

    def call(self) -> Callable[[], Any]:
        def answers() -> Any:
            self.record(RESPONSE)
            return RESPONSE

        return self.decorate(answers)

    def async_call(self) -> Callable[[], Any]:
        async def answers() -> Any:
            self.record(RESPONSE)
            return RESPONSE

        return self.decorate(answers)

    def stream(self) -> Callable[[], Iterator[Any]]:
        def answers() -> Iterator[Any]:
            for chunk in STREAM:
                yield chunk
                if chunk.usage is not None:
                    self.record(chunk)

        return self.decorate(answers)

    def lost(self) -> int | None:
        return None

    def stop(self) -> None:
        """Flush the global provider, through which most peers send."""
        from opentelemetry import trace

        trace.get_tracer_provider().force_flush()  # type: ignore[attr-defined]


class Openlit(Peer):
    """Its decorator ends the span of a coroutine or generator function before the body: those figures mean little."""

    name = "openlit"

    def start(self, url: str) -> None:
        import openlit

        openlit.init(otlp_endpoint=url, capture_message_content=False, disable_metrics=True, disabled_instrumentors=[])
        self.decorate = openlit.trace


class Traceloop(Peer):
    name = "traceloop"

    def start(self, url: str) -> None:
        os.environ |= {"TRACELOOP_TRACE_CONTENT": "false", "TRACELOOP_METRICS_ENABLED": "false"}
        from traceloop.sdk import Traceloop
        from traceloop.sdk.decorators import task

        Traceloop.init(app_name="bench", api_endpoint=url, telemetry_enabled=False)
        self.decorate = task(name="answers")


class Openinference(Peer):
    name = "openinference"

    def start(self, url: str) -> None:
        from openinference.instrumentation import TraceConfig, TracerProvider
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        self.provider = TracerProvider(config=TraceConfig(hide_inputs=True, hide_outputs=True))
        self.provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces")))
        self.decorate = self.provider.get_tracer("bench").llm(name="answers")

    def stop(self) -> None:
        self.provider.force_flush()


class Logfire(Peer):
    name = "logfire"

    def start(self, url: str) -> None:
        import logfire
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor

        processor = BatchSpanProcessor(OTLPSpanExporter(f"{url}/v1/traces"))
        logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
        self.decorate = logfire.instrument("answers", extract_args=False, allow_generator=True)


class Langfuse(Peer):
    name = "langfuse"

    def start(self, url: str) -> None:
        from langfuse import Langfuse, observe

        self.client = Langfuse(public_key="pk-lf-bench", secret_key="sk-lf-bench", base_url=url)
        self.decorate = observe(name="answers", as_type="generation", capture_input=False, capture_output=False)

    def record(self, response: Any) -> None:
        usage = {"input": response.usage.prompt_tokens, "output": response.usage.completion_tokens}
        self.client.update_current_generation(model=response.model, usage_details=usage)

    def stop(self) -> None:
        self.client.flush()


class Mlflow(Peer):
    name = "mlflow"

    def start(self, url: str) -> None:
        os.environ |= {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": f"{url}/v1/traces"}
        os.environ |= {"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/protobuf"}
        import mlflow

        mlflow.set_tracking_uri(url)  # else it looks for a database
        self.mlflow = mlflow
        self.decorate = mlflow.trace(name="answers", span_type="LLM")

    def record(self, response: Any) -> None:
        span = self.mlflow.get_current_active_span()
        if span is not None:
            used = {"input_tokens": response.usage.prompt_tokens, "output_tokens": response.usage.completion_tokens}
            span.set_attributes({"mlflow.llm.model": response.model, "mlflow.chat.tokenUsage": used})

    def stop(self) -> None:
        self.mlflow.tracing.provider.provider.get().force_flush()  # its own flush leaves out what goes to OTLP


class Opik(Peer):
    name = "opik"

    def start(self, url: str) -> None:
        os.environ |= {"OPIK_URL_OVERRIDE": f"{url}/api", "OPIK_TRACK_DISABLE": "false", "OPIK_SENTRY_ENABLE": "false"}
        import opik

        self.opik = opik
        self.decorate = opik.track(name="answers", type="llm", capture_input=False, capture_output=False)

    def record(self, response: Any) -> None:
        used = {"prompt_tokens": response.usage.prompt_tokens, "completion_tokens": response.usage.completion_tokens}
        used["total_tokens"] = sum(used.values())
        self.opik.opik_context.update_current_span(model=response.model, provider="openai", usage=used)

    def stop(self) -> None:
        self.opik.flush_tracker()


PEERS: dict[str, Callable[[], Contender]] = {
    peer.name: peer for peer in (Openlit, Traceloop, Openinference, Logfire, Langfuse, Mlflow, Opik)
}
IMPORTS = {
    "openlit": "import openlit",
    "traceloop": "from traceloop.sdk import Traceloop",
    "openinference": "import openinference.instrumentation",
    "logfire": "import logfire",
    "langfuse": "import langfuse",
    "mlflow": "import mlflow",
    "opik": "import opik",
}
