"""Configuring the application side: where spans go, which are sampled, and how the process lets go of them."""

import atexit
import os
import random
import re
import threading
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from opentelemetry import context as otel_context
from opentelemetry import metrics, trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Decision, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanKind, TraceState

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.exporter import HttpSender, Sender, Target, target_from_environment
from driftbell.monitor.pipeline import Limits, Pipeline
from driftbell.monitor.privacy import Privacy, patterns
from driftbell.monitor.span import SAMPLED, Attributes, DriftbellSpan, Later, Sink

_RANDOM_ID = 0x02
_ids = random.Random()
"""Our own generator: an application that seeds the global one must not make two processes send the same ids."""


def _new_trace_id() -> int:
    return _ids.getrandbits(128) or 1


def _new_span_id() -> int:
    return _ids.getrandbits(64) or 1


S = TypeVar("S", bound=DriftbellSpan)


@dataclass(slots=True)
class Recorder:
    """What a configured process records with. Replaced as a whole by the next `configure`."""

    sink: Sink
    settings: "Settings"
    privacy: Privacy
    sampler: Sampler | None = None
    processor: SpanProcessor | None = None
    pipeline: Pipeline | None = None
    reads_content: bool = False
    new_trace_id: Callable[[], int] = _new_trace_id
    new_span_id: Callable[[], int] = _new_span_id

    def report(self, name: str, attributes: Attributes, at: int, later: Later | None = None) -> None:
        """Record a span of its own, without parent and length, that tells of the moment ``at`` (epoch nanoseconds)."""
        span = self.start(DriftbellSpan, name, attributes, None, otel_context.Context(), at)
        if later is not None:
            span.later(later)
        span.end(at)

    def start(
        self,
        kind: type[S],
        name: str,
        attributes: Attributes,
        parent: object,
        context: otel_context.Context,
        at: int | None = None,
    ) -> S:
        """Start a span of class ``kind`` as a child of ``parent``, the current span of ``context``."""
        state: TraceState | None = None
        above: trace.Span | None = None
        if parent is None:
            trace_id, flags = self.new_trace_id(), SAMPLED | _RANDOM_ID
        elif isinstance(parent, DriftbellSpan):
            above, trace_id, flags, state = parent, parent.trace_id, parent.flags, parent._state
        elif isinstance(parent, trace.Span) and (theirs := parent.get_span_context()).is_valid:
            above, trace_id, flags, state = parent, theirs.trace_id, int(theirs.trace_flags), theirs.trace_state
        else:
            trace_id, flags = self.new_trace_id(), SAMPLED | _RANDOM_ID
        if self.sampler is not None:
            result = self.sampler.should_sample(context, trace_id, name, SpanKind.INTERNAL, attributes)
            flags = flags | SAMPLED if result.decision is Decision.RECORD_AND_SAMPLE else flags & ~SAMPLED
            state = result.trace_state
            attributes.update(result.attributes or {})
        span = kind(self.sink, name, trace_id, self.new_span_id(), flags, above, attributes, at)
        if state:
            span._state = state
        if self.processor is not None and flags & SAMPLED:
            self.processor.on_start(span, context)  # type: ignore[arg-type]  # all that a processor may use is there
        return span


class ProviderSink:
    """Hands ended spans to the processors of the application's own provider."""

    def __init__(
        self,
        processor: SpanProcessor,
        resource: Resource,
        scope: InstrumentationScope,
        privacy: Privacy,
        complete: Later | None,
    ) -> None:
        limits = SpanLimits()
        self.privacy = privacy
        self._complete = complete
        self.resource = resource
        self.scope = scope
        self.max_attributes = limits.max_span_attributes or 128
        self.max_length = limits.max_span_attribute_length or 16384
        self._processor = processor

    def ended(self, span: DriftbellSpan) -> None:
        """Finish the span here and now, because processors may expect the end in the thread of the call."""
        try:
            span.complete(self._complete)
            self._processor.on_end(span)
        except Exception as error:  # foreign processors run in the application's call
            guard.failed("hand a span to the application's span processors", error)


@dataclass(frozen=True, slots=True)
class Settings:
    """The arguments of `configure`, compared to tell a repeated call from a changed one."""

    target: Target
    service: str | None
    release: str | None
    environment: str | None
    resource_attributes: Mapping[str, Any]
    limits: Limits
    sampler: Sampler | None
    tracer_provider: object | None
    privacy: Privacy
    prices: object


_lock = threading.Lock()
_active: Recorder | None = None
_never_configured = True
_drops_counted = False


def recorder() -> Recorder | None:
    """The active recorder; None before `configure`, after `shutdown` and with ``OTEL_SDK_DISABLED=true``."""
    if _active is None and _never_configured:
        guard.voice.say("driftbell.monitor.configure() has not been called: nothing is recorded")
    return _active


def configure(
    *,
    endpoint: str | None = None,
    headers: Mapping[str, str] | None = None,
    service: str | None = None,
    release: str | None = None,
    environment: str | None = None,
    resource_attributes: Mapping[str, Any] | None = None,
    tracer_provider: TracerProvider | None = None,
    sampler: Sampler | None = None,
    hash_key: str | bytes | None = None,
    prices: Mapping[str, Mapping[str, float]] | str | Path | None = None,
    capture: Collection[str] = (),
    fingerprint: bool | Collection[str] = False,
    redact: Collection[str | re.Pattern[str]] = (),
    exit_seconds: float = 1.5,
) -> bool:
    """Start recording; True when calls are recorded from now on. Never raises: a bad argument is logged.

    Without arguments spans go to ``http://127.0.0.1:4318``; the standard ``OTEL_EXPORTER_OTLP_*``, ``OTEL_BSP_*``,
    ``OTEL_TRACES_SAMPLER``, ``OTEL_SERVICE_NAME``, ``OTEL_RESOURCE_ATTRIBUTES`` and ``OTEL_SDK_DISABLED`` variables
    are honoured. ``endpoint`` is the base address of a collector. ``service``, ``release`` and ``environment`` become
    the usual resource attributes. ``tracer_provider`` sends spans through the processors of the application's own
    provider instead of our exporter. ``sampler`` replaces the sampler; by default a sampled-out parent is honoured.
    ``hash_key`` keys the hashes of user and session ids. ``exit_seconds`` bounds the wait at process exit.

    ``prices`` puts costs on the spans: a table ``{"model": {"input": usd, "output": usd, "cached_input": usd}}`` per
    million tokens, the path of one as JSON, or ``"genai-prices"`` (extra ``driftbell[prices]``).

    No content leaves the process, except for the workflows named in ``capture``: their texts are sent after redaction
    of personal data, secrets and the patterns in ``redact``. ``fingerprint`` (True, or workflows) sends length,
    language, refusal and a sketch of answers instead, from which no text can be read.

    A second call with the same arguments changes nothing; with others it replaces the first.
    """
    global _active, _never_configured
    try:
        _never_configured = False
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return False
        settings = Settings(
            target_from_environment(endpoint, headers),
            service,
            release,
            environment,
            dict(resource_attributes or {}),
            Limits.from_environment(max(0.0, exit_seconds)),
            sampler,
            tracer_provider,
            Privacy(
                _key(hash_key, service),
                frozenset(_listed("capture", capture)),
                frozenset() if isinstance(fingerprint, bool) else frozenset(_listed("fingerprint", fingerprint)),
                fingerprint is True,
                patterns(_listed("redact", redact)),
            ),
            dict(prices) if isinstance(prices, Mapping) else prices,
        )
        with _lock:
            if _active is not None and _active.settings == settings:
                return True
            before, _active = _active, _build(settings)
        _stop(before, settings.limits.exit)
    except guard.SettingError as error:
        guard.refused(error)
        return False
    except Exception as error:  # a wrong setting must not take the application down with it
        guard.failed("configure itself", error)
    return _active is not None


T = TypeVar("T")


def _listed(setting: str, given: Collection[T]) -> Collection[T]:
    if not isinstance(given, (list, tuple, set, frozenset)):
        raise guard.SettingError(f"{setting} must be a list")
    return given


def shutdown(timeout: float | None = None) -> None:
    """Send what is waiting, for at most ``timeout`` seconds (default: ``exit_seconds``), and stop recording."""
    global _active
    with _lock:
        before, _active = _active, None
    if before is not None:
        _stop(before, timeout)


def flush(timeout: float = 5.0) -> bool:
    """Wait until all ended spans were sent or lost, at most ``timeout`` seconds; False when that was too short."""
    active = _active
    if active is None:
        return True
    if active.pipeline is not None:
        return active.pipeline.flush(timeout)
    if active.processor is not None:
        return active.processor.force_flush(int(timeout * 1000))
    return True


def dropped() -> dict[str, int]:
    """Spans lost since the start, by reason; empty when none was lost."""
    active = _active
    return dict(active.pipeline.dropped) if active is not None and active.pipeline is not None else {}


def _stop(before: Recorder | None, timeout: float | None) -> None:
    if before is not None and before.pipeline is not None:
        before.pipeline.shutdown(before.pipeline.limits.exit if timeout is None else timeout)


def _build(settings: Settings) -> Recorder:
    global _drops_counted
    if not _drops_counted:
        _drops_counted = True
        _count_drops()
    scope = InstrumentationScope(names.SCOPE, _version())
    if settings.tracer_provider is not None:
        return _beside(settings.tracer_provider, scope, settings)
    limits = SpanLimits()
    reads = settings.privacy.reads_content
    pipeline = Pipeline(
        _sender(settings.target),
        _resource(settings),
        scope,
        settings.limits,
        settings.privacy,
        limits.max_span_attributes or 128,
        limits.max_span_attribute_length or 16384,
        _pricing(settings.prices),
    )
    return Recorder(pipeline, settings, settings.privacy, _sampler(settings.sampler), None, pipeline, reads)


def _pricing(given: object) -> Later | None:
    if given is None:
        return None
    from driftbell.monitor import pricing  # most applications leave prices to the service

    prices = pricing.load(given)
    return None if prices is None else partial(pricing.priced, prices)


def _sender(target: Target) -> Sender:
    if not target.grpc:
        return HttpSender(target)
    from driftbell.monitor.grpc_exporter import GrpcSender  # gRPC is an extra

    return GrpcSender(target)


def _beside(provider: object, scope: InstrumentationScope, settings: Settings) -> Recorder:
    tracer = getattr(provider, "get_tracer", lambda _: None)(names.SCOPE)
    processor, resource = getattr(tracer, "span_processor", None), getattr(tracer, "resource", None)
    if processor is None or not isinstance(resource, Resource):
        raise guard.SettingError("tracer_provider must be an opentelemetry.sdk.trace.TracerProvider")
    sink = ProviderSink(processor, resource, scope, settings.privacy, _pricing(settings.prices))
    sampler = settings.sampler or getattr(tracer, "sampler", None)
    recorder = Recorder(sink, settings, settings.privacy, _plain_sampler(sampler), processor)
    recorder.reads_content = settings.privacy.reads_content
    ids = getattr(tracer, "id_generator", None)
    if isinstance(ids, IdGenerator) and not isinstance(
        ids, RandomIdGenerator
    ):  # such as AWS X-Ray's, which mean something
        recorder.new_trace_id, recorder.new_span_id = ids.generate_trace_id, ids.generate_span_id
    return recorder


def _sampler(given: Sampler | None) -> Sampler | None:
    """The sampler to ask, or None for the default, which needs no asking: sampled unless the parent is not."""
    if given is not None:
        return given
    if "OTEL_TRACES_SAMPLER" not in os.environ:
        return None
    return _plain_sampler(TracerProvider(shutdown_on_exit=False).sampler)


def _plain_sampler(sampler: Sampler | None) -> Sampler | None:
    return None if sampler is None or _description(sampler) == _description(DEFAULT_ON) else sampler


def _description(sampler: Sampler) -> object:
    return sampler.get_description()


def _resource(settings: Settings) -> Resource:
    given = {
        "service.name": settings.service,
        "service.version": settings.release,
        "deployment.environment.name": settings.environment,
        **settings.resource_attributes,
    }
    wanted = {key: value for key, value in given.items() if value is not None}
    theirs = getattr(trace.get_tracer_provider(), "resource", None)
    base = theirs if isinstance(theirs, Resource) else Resource.create()
    return base.merge(Resource(wanted))


def _of_this_process(inherited: Resource, own: Mapping[str, Any]) -> Resource:
    """The resource after a fork: an instance id that the SDK made up is made up anew, one that was given stays."""
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if _INSTANCE not in inherited.attributes or _INSTANCE in given or _INSTANCE in own:
        return inherited
    import uuid

    return inherited.merge(Resource({_INSTANCE: str(uuid.UUID(int=_ids.getrandbits(128), version=4))}))


_INSTANCE = "service.instance.id"


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("driftbell")
    except metadata.PackageNotFoundError:
        return ""


def _key(given: str | bytes | None, service: str | None) -> bytes:
    if given is None:
        given = os.environ.get("DRIFTBELL_HASH_KEY") or f"driftbell:{service or os.environ.get('OTEL_SERVICE_NAME')}"
    return given.encode() if isinstance(given, str) else given


def _observe_drops(_options: metrics.CallbackOptions) -> list[metrics.Observation]:
    return [metrics.Observation(count, {"reason": reason}) for reason, count in dropped().items()]


def _count_drops() -> None:
    """Show the losses to the application's metrics, if it has any. The API hands it on to a provider set later."""
    metrics.get_meter(names.SCOPE).create_observable_counter(
        names.DROPPED_SPANS, [_observe_drops], unit="{span}", description="Spans lost by the application side"
    )


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    _ids.seed()
    if _active is not None and _active.pipeline is not None:
        _active.pipeline.after_fork(_of_this_process(_active.pipeline.resource, _active.settings.resource_attributes))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(shutdown)
