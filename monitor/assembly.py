"""Putting the parts together from the settings: sampler, resource, sink, sender.

Loaded by `configure`, so that a process that only imports the decorator does not pay for it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.id_generator import IdGenerator, RandomIdGenerator
from opentelemetry.sdk.trace.sampling import DEFAULT_ON, Sampler
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.exporter import HttpSender, Sender
from driftbell.monitor.pipeline import Limits, Pipeline
from driftbell.monitor.privacy import Privacy, patterns
from driftbell.monitor.recorder import Recorder, ids
from driftbell.monitor.span import DriftbellSpan, Later
from driftbell.monitor.target import Target, target_from_environment


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
        limits = _span_limits()
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


_LISTS = (list, tuple, set, frozenset)
_TYPES: Final[dict[str, tuple[type, ...]]] = {
    "endpoint": (str,),
    "service": (str,),
    "release": (str,),
    "environment": (str,),
    "headers": (dict,),
    "resource_attributes": (dict,),
    "hash_key": (str, bytes),
    "exit_seconds": (int, float),
    "capture": _LISTS,
    "fingerprint": (bool, *_LISTS),
    "redact": _LISTS,
}
_LONGEST_EXIT: Final = 60.0


def settings_of(given: Mapping[str, Any]) -> Settings:
    """The arguments of `configure`, checked; raises `SettingError` for one of another type.

    A strange object is refused here, because later it could hang or raise anywhere.
    """
    for name, kinds in _TYPES.items():
        if given[name] is not None and not issubclass(type(given[name]), kinds):
            raise guard.SettingError(f"{name} must be of type {' or '.join(kind.__name__ for kind in kinds)}")
    fingerprint, prices = given["fingerprint"], given["prices"]
    privacy = Privacy(
        _key(given["hash_key"], given["service"]),
        frozenset(given["capture"]),
        frozenset() if isinstance(fingerprint, bool) else frozenset(fingerprint),
        fingerprint is True,
        patterns(given["redact"]),
    )
    target = target_from_environment(given["endpoint"], given["headers"])
    return Settings(
        target,
        given["service"],
        given["release"],
        given["environment"],
        dict(given["resource_attributes"] or {}),
        Limits.from_environment(min(max(0.0, given["exit_seconds"]), _LONGEST_EXIT), target.timeout),
        given["sampler"],
        given["tracer_provider"],
        privacy,
        dict(prices) if isinstance(prices, Mapping) else prices,
    )


def _key(given: str | bytes | None, service: str | None) -> bytes:
    if given is None:
        given = os.environ.get("DRIFTBELL_HASH_KEY") or f"driftbell:{service or os.environ.get('OTEL_SERVICE_NAME')}"
    return given.encode() if isinstance(given, str) else given


def build(settings: Settings) -> Recorder:
    """A recorder for the settings; raises `SettingError` for those that cannot be used."""
    scope = InstrumentationScope(names.SCOPE, _version())
    if settings.tracer_provider is not None:
        return _beside(settings.tracer_provider, scope, settings)
    limits = _span_limits()
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
    return Recorder(pipeline, _sampler(settings.sampler), pipeline=pipeline)


def _span_limits() -> SpanLimits:
    """The limits of the ``OTEL_…_LIMIT`` variables; raises `SettingError` for what is no number."""
    try:
        return SpanLimits()
    except ValueError:
        raise guard.SettingError("the variables OTEL_…_LIMIT must hold whole numbers, 0 or more") from None


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
    recorder = Recorder(sink, _plain_sampler(sampler), processor)
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


def of_this_process(inherited: Resource, own: Mapping[str, Any]) -> Resource:
    """The resource after a fork: an instance id that the SDK made up is made up anew, one that was given stays."""
    given = os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    if _INSTANCE not in inherited.attributes or _INSTANCE in given or _INSTANCE in own:
        return inherited
    import uuid

    return inherited.merge(Resource({_INSTANCE: str(uuid.UUID(int=ids.getrandbits(128), version=4))}))


_INSTANCE = "service.instance.id"


def _version() -> str:
    from importlib import metadata

    try:
        return metadata.version("driftbell")
    except metadata.PackageNotFoundError:
        return ""
