"""A workflow's detector as plain JSON numbers and back, without the loss of a bit.

Python writes a float so that reading it gives the same bits, and the order of every mapping is kept, so that sums
come out the same after a restart. What follows from the numbers (score tables, indices) is not kept.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from driftbell.detectors.baseline import Distribution, Share
from driftbell.detectors.episode import Episode
from driftbell.detectors.group import Group
from driftbell.detectors.season import Seasons
from driftbell.detectors.sequential import EDetectors
from driftbell.detectors.series import Series
from driftbell.detectors.settings import DetectorSettings
from driftbell.detectors.terms import Terms
from driftbell.detectors.volume import Volume, VolumeAlarm
from driftbell.detectors.watch import Alarm, Watch
from driftbell.detectors.workflow import WorkflowDetector

VERSION = 2


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
        "volume": asdict(detector.volume),
        "episodes": [asdict(episode) for episode in detector.episodes],
    }
    return json.dumps(body, separators=(",", ":"))


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
    for part in ("tests", "seasons", "terms"):
        _load_arrays(getattr(detector, part), body[part], len(detector.watches))
    detector.volume = _load_volume(body["volume"])
    detector.episodes = [Episode(**stored) for stored in body["episodes"]]
    return detector


def _dump_arrays(part: EDetectors | Seasons | Terms) -> dict[str, str]:
    """Every array as the bytes of its numbers (little endian), in base 64."""
    return {each.name: b64encode(getattr(part, each.name).tobytes()).decode() for each in fields(part)}


def _load_arrays(part: EDetectors | Seasons | Terms, stored: dict[str, str], rows: int) -> None:
    for name, text in stored.items():
        empty = getattr(part, name)
        values = np.frombuffer(b64decode(text), empty.dtype)
        setattr(part, name, values.reshape([n or rows for n in empty.shape]).copy())


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
    return {
        "group": watch.group,
        "series": asdict(watch.series),
        "contrast": watch.contrast,
        "crowd": watch.crowd,
        "rest": watch.rest,
        "suspect": watch.suspect,
        "worth": watch.worth,
        "ready": watch.ready,
        "held": watch.held,
        "alarm": asdict(watch.alarm) if watch.alarm is not None else None,
    }


def _load_watch(stored: dict[str, Any]) -> Watch:
    watch = Watch(
        (stored["group"][0], stored["group"][1]),
        Series(**stored["series"]),
        stored["contrast"],
    )
    watch.rest, watch.crowd = _pair(stored["rest"]), _pair(stored["crowd"])
    watch.suspect, watch.ready = stored["suspect"], stored["ready"]
    watch.worth = stored["worth"]
    watch.held = [(start, n, total) for start, n, total in stored["held"]]
    watch.alarm = Alarm(**stored["alarm"]) if stored["alarm"] is not None else None
    return watch


def _load_volume(stored: dict[str, Any]) -> Volume:
    alarm = stored.pop("alarm")
    volume = Volume(**stored)
    volume.recent = [(calls, users) for calls, users in stored["recent"]]
    volume.pace = _pair(stored["pace"])
    volume.today = (stored["today"][0], stored["today"][1], stored["today"][2])
    volume.alarm = VolumeAlarm(**alarm) if alarm is not None else None
    return volume


def _pair(stored: list[float]) -> tuple[float, float]:
    return (stored[0], stored[1])
