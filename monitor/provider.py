"""Configuring the application side: where spans go, which are sampled, and how the process lets go of them."""

import atexit
import os
import re
import threading
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry import metrics
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import Sampler

from driftbell.monitor import attributes as names
from driftbell.monitor import guard
from driftbell.monitor.recorder import Recorder, ids

if TYPE_CHECKING:
    from driftbell.monitor.assembly import Settings
    from driftbell.monitor.pipeline import Pipeline

_lock = threading.Lock()
_active: Recorder | None = None
_settings: "Settings | None" = None
_never_configured = True
_counted: "Pipeline | None" = None
"""What counts the losses, also when it has been shut down."""
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
    given = dict(locals())
    global _active, _settings, _never_configured, _counted
    try:
        _never_configured = False
        from driftbell.monitor.assembly import build, settings_of

        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            return False
        settings = settings_of(given)
        with _lock:
            if _active is not None and _settings == settings:
                return True
            before, now = _active, build(settings)
            if before is not None and before.pipeline is not None:
                before.pipeline.replaced_by(now.sink)
            _active, _settings, _counted = now, settings, now.pipeline or _counted
            _count_drops()
        _stop(before, settings.limits.exit)
    except guard.SettingError as error:
        guard.refused(error)
        return False
    except Exception as error:  # a wrong setting must not take the application down with it
        guard.failed("configure itself", error)
    return _active is not None


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
    """Spans lost since recording started, by reason; empty when none was lost. After `shutdown`: until then."""
    return dict(_counted.dropped) if _counted is not None else {}


def _stop(before: Recorder | None, timeout: float | None) -> None:
    if before is not None and before.pipeline is not None:
        before.pipeline.shutdown(before.pipeline.limits.exit if timeout is None else timeout)


def _observe_drops(_options: metrics.CallbackOptions) -> list[metrics.Observation]:
    return [metrics.Observation(count, {"reason": reason}) for reason, count in dropped().items()]


def _count_drops() -> None:
    """Show the losses to the application's metrics, if it has any. The API hands it on to a provider set later."""
    global _drops_counted
    if _drops_counted:
        return
    _drops_counted = True
    metrics.get_meter(names.SCOPE).create_observable_counter(
        names.DROPPED_SPANS, [_observe_drops], unit="{span}", description="Spans lost by the application side"
    )


def _after_fork() -> None:
    global _lock
    _lock = threading.Lock()
    ids.seed()
    if _active is not None and _active.pipeline is not None and _settings is not None:
        from driftbell.monitor.assembly import of_this_process

        _active.pipeline.after_fork(of_this_process(_active.pipeline.resource, _settings.resource_attributes))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
atexit.register(shutdown)
