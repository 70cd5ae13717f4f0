"""A workflow's detector as plain JSON numbers and back, without the loss of a bit.

Python writes a float so that reading it gives the same bits, and the order of every mapping is kept, so that sums
come out the same after a restart. What follows from the numbers (score tables, indices) is not kept.
"""

import json
import math
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, fields
from typing import Any

import numpy as np
import orjson

from driftbell.detectors.baseline import Distribution, Share
from driftbell.detectors.episode import Episode
from driftbell.detectors.group import Group
from driftbell.detectors.season import Seasons
from driftbell.detectors.sequential import EDetectors
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.terms import Terms
from driftbell.detectors.volume import Volume, VolumeAlarm
from driftbell.detectors.watch import Alarm, Watch
from driftbell.detectors.workflow import WorkflowDetector, series_named

VERSION = 2
FOLLOW = frozenset({"slope", "toll"})
"""Arrays that follow from the terms."""


class StateError(ValueError):
    """A stored state that this version cannot read; the message says what to do."""


def dump(detector: WorkflowDetector) -> str:
    """The whole state of a detector as JSON text."""
    watches = detector.watches
    body = {
        "version": VERSION,
        "block": detector.block,
        "day": detector.day,
        "tiers": list(detector.tiers),
        "distrusted": sorted(detector.distrusted),
        "groups": [_dump_group(group) for group in detector.groups.values()],
        "watches": [_dump_watch(watch) for watch in watches],
        "hour": detector.hour,
        "tests": _dump_arrays(detector.tests),
        "seasons": _dump_arrays(detector.seasons),
        "terms": _dump_arrays(detector.terms),
        "volume": detector.volume,
        "episodes": detector.episodes,
    }
    return _text(body)


def _text(body: dict[str, Any]) -> str:
    """As JSON, written fast; it has no infinity and would make it null, so that is looked for where it could be."""
    numbers = (number for watch in body["watches"] for number in (watch.get("worth", 0.0), *watch["crowd"]))
    if not math.isfinite(math.fsum(numbers)):
        return json.dumps(body, separators=(",", ":"), default=asdict)
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY).decode()


def load(workflow: str, text: str, settings: DetectorSettings) -> WorkflowDetector:
    """Inverse of `dump`; raises `StateError` for a state of another version."""
    body = json.loads(text)
    if body.get("version") != VERSION:
        raise StateError(
            f"detector state of {workflow!r} has version {body.get('version')}, this program reads {VERSION}; "
            "install the version that wrote it, or delete the state to learn anew"
        )
    detector = WorkflowDetector(workflow, settings)
    detector.block, detector.day = body["block"], body["day"]
    detector.distrusted = set(body["distrusted"])
    detector.tiers = dict.fromkeys(body["tiers"])
    for stored in body["groups"]:
        group = _load_group(stored)
        detector.groups[group.key] = group
    for i, stored in enumerate(body["watches"]):
        watch = _load_watch(stored)
        detector.watches.append(watch)
        detector.index[watch.name] = i
        detector.groups[watch.group].index.setdefault(watch.series.measure, []).append(i)
    detector.hour = body["hour"]
    rows = len(detector.watches)
    parts: dict[str, EDetectors | Seasons | Terms]
    parts = {"tests": detector.tests, "seasons": detector.seasons, "terms": detector.terms}
    for name, part in parts.items():
        part.grow(rows)
        _load_arrays(part, body[name])
    detector.terms.set(detector.tests)
    detector.volume = _load_volume(body["volume"])
    detector.episodes = [Episode(**stored) for stored in body["episodes"]]
    return detector


def _dump_arrays(part: EDetectors | Seasons | Terms) -> dict[str, str]:
    """Every array that does not follow from others as the bytes of its numbers (little endian), in base 64."""
    names = [each.name for each in fields(part) if each.name not in FOLLOW]
    return {name: b64encode(getattr(part, name).tobytes()).decode() for name in names}


def _load_arrays(part: EDetectors | Seasons | Terms, stored: dict[str, str]) -> None:
    for name, text in stored.items():
        blank = getattr(part, name)
        blank[...] = np.frombuffer(b64decode(text), blank.dtype).reshape(blank.shape)


def _dump_group(group: Group) -> dict[str, Any]:
    shares = {n: [s.hits, s.trials, s.held, s.today] for n, s in group.shares.items()}
    distributions = {
        n: [list(d.known.items()), list(d.held.items()), list(d.today.items())] for n, d in group.distributions.items()
    }
    return {
        "key": group.key,
        "since": group.since,
        "seen": group.seen,
        "shares": shares,
        "distributions": distributions,
    }


def _load_group(stored: dict[str, Any]) -> Group:
    group = Group((stored["key"][0], stored["key"][1]), stored["since"], stored.get("seen", 0))
    for name, (hits, trials, held, today) in stored["shares"].items():
        group.shares[name] = Share(hits, trials, (held[0], held[1]), today)
    for name, (known, held, today) in stored["distributions"].items():
        distribution = Distribution(dict(known), dict(held), dict(today))
        distribution.prepare()
        group.distributions[name] = distribution
    return group


def _dump_watch(watch: Watch) -> dict[str, Any]:
    body: dict[str, Any] = {"group": watch.group, "series": watch.series.name, "crowd": watch.crowd}
    fresh = Watch(watch.group, watch.series, watch.contrast)
    for name in ("rest", "suspect", "worth", "ready", "held", "dropped"):
        value = getattr(watch, name)
        if value != getattr(fresh, name):
            body[name] = value
    if watch.contrast:
        body["contrast"] = True
    if watch.alarm is not None:
        body["alarm"] = watch.alarm
    return body


def _load_watch(stored: dict[str, Any]) -> Watch:
    group = (stored["group"][0], stored["group"][1])
    watch = Watch(group, series_named(stored["series"]), stored.get("contrast", False), _pair(stored["crowd"]))
    watch.rest = _pair(stored.get("rest", watch.rest))
    watch.suspect, watch.ready = stored.get("suspect", False), stored.get("ready", False)
    watch.worth = stored.get("worth", watch.worth)
    watch.held = [(start, n, total) for start, n, total in stored.get("held", ())]
    watch.dropped = [(start, n, total) for start, n, total in stored.get("dropped", ())]
    watch.alarm = Alarm(**stored["alarm"]) if "alarm" in stored else None
    return watch


def _load_volume(stored: dict[str, Any]) -> Volume:
    alarm = stored.pop("alarm")
    volume = Volume(**stored)
    volume.recent = [(calls, users) for calls, users in stored["recent"]]
    volume.pace = _pair(stored["pace"])
    volume.today = (stored["today"][0], stored["today"][1], stored["today"][2])
    volume.alarm = VolumeAlarm(**alarm) if alarm is not None else None
    return volume


def _pair(stored: Sequence[float]) -> tuple[float, float]:
    return (stored[0], stored[1])
