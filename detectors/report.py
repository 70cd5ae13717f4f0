"""Watches that crossed or came back -> findings: one episode per cause, its leading metric first."""

from dataclasses import replace
from typing import Literal

from driftbell.detectors.attribution import FEW, Change, Evidence, explain, levels
from driftbell.detectors.episode import TOGETHER, Episode, root
from driftbell.detectors.finding import Cause, Finding, Interval
from driftbell.detectors.history import History, points_since
from driftbell.detectors.volume import VolumeAlarm
from driftbell.detectors.watch import Alarm, Watch
from driftbell.detectors.workflow import BIN, Step, WorkflowDetector

HOUR = 3600
DAY = 86400
REFERENCE = 7 * DAY
"""What is compared with: the week before the onset."""
LONGEST = 5 * DAY
"""The span since the onset that is looked at, at most."""

LEADS = 0.7
"""Part of the evidence of a series that crossed its threshold that another must have to be taken for its reason."""
SHOWS = 0.3
"""Part of the smallest change worth a page by which the numbers of a message must differ."""

NOT_URGENT = frozenset({"bypass", "instrument"})
"""Families for which nobody is woken."""


class Reporter:
    """Turns the steps of one workflow's detector into findings."""

    def __init__(self, detector: WorkflowDetector, history: History) -> None:
        self.detector = detector
        self.history = history

    def report(self, start: int, step: Step, grace: float) -> list[Finding]:
        """Findings of the bin that begins at ``start``; they are dated when the bin is complete."""
        ts = start + BIN + grace
        watches = self.detector.watches
        findings: list[Finding] = []
        if step.fired:
            evidence: list[float] = self.detector.tests.evidence().tolist()
            for i in sorted(step.fired, key=lambda i: (-evidence[i], i)):
                if watches[i].alarm is not None:
                    continue
                if self._shows(i, start):
                    findings += self._fired(i, start, ts, evidence)
                else:
                    self.detector.tests.rest(i, start + BIN)
        findings += self._cleared(step.cleared, ts)
        if step.volume_over is not None:
            findings.append(self._volume(step.volume_over, ts, "cleared"))
        if step.volume is not None:
            findings.append(self._volume(step.volume, ts, "fired"))
            if step.volume.kind == "silence":
                findings += [self._plain(w, w.alarm, ts, "no_data") for w in watches if w.alarm is not None]
        episodes = self.detector.episodes
        self.detector.episodes = [e for e in episodes if any(watches[i].alarm is not None for i in e.watches)]
        for episode in self.detector.episodes:
            if episode.looks_again(ts):
                findings += self._explained(episode, start, ts)
        return findings

    def _explained(self, episode: Episode, start: int, ts: float) -> list[Finding]:
        """What the leading series turns out to be due to, if that shows by now: an alarm comes with the first calls."""
        lead = episode.watches[0]
        watch = self.detector.watches[lead]
        if watch.alarm is None or not self.history.points(self.detector.workflow, start - HOUR, start + BIN, "minute"):
            return []  # in silence there is no news of it
        episode.looked_at = ts
        found = explain(watch.series, self._evidence(watch.alarm.started_at, start), watch.segment)
        if found.cause.confidence == "unknown":
            return []
        episode.unexplained, episode.keys, episode.text = False, dict(found.cause.keys), found.cause.text
        told: dict[tuple[str, str | None, str | None], Finding] = {}
        for i in episode.watches:
            watch = self.detector.watches[i]
            if watch.alarm is None or (series := (watch.series.metric, watch.alarm.segment, watch.risk_tier)) in told:
                continue
            change = levels(watch.series, self._evidence(watch.alarm.started_at, start), watch.alarm.segment)
            finding = self._finding(watch, ts, change, float(self.detector.tests.evidence()[i]))
            if i == lead:
                finding = replace(finding, cause=found.cause, segments=found.segments)
            else:
                finding = self._joined(finding, episode)
            told[series] = replace(finding, transition="updated")
        return list(told.values())

    def _fired(self, i: int, start: int, ts: float, evidence: list[float]) -> list[Finding]:
        watch = self.detector.watches[i]
        for episode in self.detector.episodes:
            if episode.holds(watch.series.metric, watch.series.family, self.detector.tests.change(i)[0]):
                return self._join(episode, i, start, ts, evidence[i])
        lead = self._lead(i, start, evidence)
        first = self.detector.watches[lead]
        alarm = self.detector.raise_alarm(lead, start)
        change = explain(first.series, self._evidence(alarm.started_at, start), first.segment)
        alarm.segment = change.segment
        finding = self._finding(first, ts, change, evidence[lead])
        series, cause = first.series, change.cause
        episode = Episode(
            *(
                series.metric,
                series.family,
                finding.started_at,
                ts,
                change.segment,
                dict(cause.keys),
                cause.text,
                [lead],
            ),
            unexplained=cause.confidence == "unknown",
            looked_at=ts,
        )
        self.detector.episodes.append(episode)
        return [finding] if lead == i else [finding, *self._join(episode, i, start, ts, evidence[i])]

    def _join(self, episode: Episode, i: int, start: int, ts: float, log_e: float) -> list[Finding]:
        """A further series of an episode: it has its own numbers and shares the cause and the beginning.

        Nothing, when the same metric of the same slice has been told already: to a reader it is one series.
        """
        watches = self.detector.watches
        watch = watches[i]
        told = {(w.series.metric, w.alarm.segment, w.risk_tier) for w in watches if w.alarm is not None}
        alarm = self.detector.raise_alarm(i, start)
        episode.watches.append(i)
        if (watch.series.metric, alarm.segment, watch.risk_tier) in told:
            return []
        change = levels(watch.series, self._evidence(alarm.started_at, start), watch.segment)
        return [self._joined(self._finding(watch, ts, change, log_e), episode)]

    def _joined(self, finding: Finding, episode: Episode) -> Finding:
        cause = Cause(dict(episode.keys), text=f"Moved with {episode.metric}. {episode.text}")
        return replace(finding, cause=cause, started_at=episode.started_at, related=(episode.metric,))

    def _lead(self, i: int, start: int, evidence: list[float]) -> int:
        """The watch that explains watch ``i``: the strongest of the root metric among all that moved."""
        onset, support = self.detector.tests.change(i)[0], LEADS * evidence[i]
        moved: dict[str, float] = {}
        strongest: dict[str, int] = {}
        for j, watch in enumerate(self.detector.watches):
            if j != i and (not watch.ready or watch.alarm is not None or evidence[j] < support):
                continue
            if abs(self.detector.tests.change(j)[0] - onset) > TOGETHER:
                continue
            metric = watch.series.metric
            if j == i or evidence[j] > moved.get(metric, 0.0):
                moved[metric], strongest[metric] = max(evidence[j], moved.get(metric, 0.0)), j
        fired = self.detector.watches[i].series.metric
        while (lead := root(moved, fired)) != fired and not self._shows(strongest[lead], start):
            del moved[lead]
        return strongest[lead]

    def _shows(self, i: int, start: int) -> bool:
        """Whether the plain numbers that a message would have say the same as the test."""
        watch = self.detector.watches[i]
        evidence = self._evidence(self.detector.tests.change(i)[0], start)
        change = levels(watch.series, evidence, watch.segment)
        before, after, series = change.before, change.after, watch.series
        if after is None:
            return False
        if before is None or before.n < FEW:
            return True
        worth = series.worth - 1.0 if series.kind == "quantity" else series.worth
        base = abs(before.mean) if series.kind == "quantity" else 1.0
        return series.direction * (after.mean - before.mean) >= SHOWS * abs(worth) * base

    def _evidence(self, onset: float, start: int) -> Evidence:
        until = start + BIN
        onset = max(onset, until - LONGEST)
        whole_hour = onset // HOUR * HOUR
        before = self.history.points(self.detector.workflow, whole_hour - REFERENCE, whole_hour, "hour")
        after = points_since(self.history, self.detector.workflow, onset, until)
        markers = self.history.markers(self.detector.workflow, onset - DAY, until)
        return Evidence(before, after, onset, markers)

    def _finding(self, watch: Watch, ts: float, change: Change, log_e: float) -> Finding:
        series, before, after = watch.series, change.before, change.after
        assert watch.alarm is not None
        plain = self._plain(watch, watch.alarm, ts, "fired")
        if after is None:
            return replace(plain, log_evidence=log_e, cause=change.cause, segments=change.segments)
        per_hour = after.n / max((ts - watch.alarm.started_at) / HOUR, BIN / HOUR)
        dollars = (after.shown - before.shown) * per_hour if series.unit == "usd" and before is not None else None
        error = 1.96 * (after.variance / after.n) ** 0.5
        return replace(
            plain,
            observed=after.shown,
            usual=before.shown if before is not None else None,
            interval=Interval(after.shown - error, after.shown + error) if error and series.kind != "tail" else None,
            n=int(after.n),
            log_evidence=log_e,
            cause=change.cause,
            segments=change.segments,
            usd_per_hour=dollars,
            calls_per_hour=per_hour,
        )

    def _cleared(self, ended: list[tuple[int, Alarm]], ts: float) -> list[Finding]:
        """One finding per reported series of which no other statistic is still in alarm."""
        watches = self.detector.watches
        firing = {(w.series.metric, w.alarm.segment, w.risk_tier) for w in watches if w.alarm is not None}
        found: dict[tuple[str, str | None, str | None], Finding] = {}
        for i, alarm in ended:
            watch = watches[i]
            told = (watch.series.metric, alarm.segment, watch.risk_tier)
            if told not in firing and told not in found:
                found[told] = self._plain(watch, alarm, ts, "cleared")
        return list(found.values())

    def _plain(
        self, watch: Watch, alarm: Alarm, ts: float, transition: Literal["fired", "cleared", "no_data"]
    ) -> Finding:
        series = watch.series
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.detector.workflow,
            family=series.family,
            metric=series.metric,
            direction=series.direction,
            unit=series.unit,
            segment=alarm.segment,
            risk_tier=watch.risk_tier,
            started_at=alarm.started_at,
            severity="ticket" if series.family in NOT_URGENT else "page",
            id=self._id(watch, ts),
        )

    def _volume(self, alarm: VolumeAlarm, ts: float, transition: Literal["fired", "cleared"]) -> Finding:
        silent = alarm.kind == "silence"
        keys = {"user_id": alarm.user_id} if alarm.user_id else {}
        if silent:
            text = f"No call since then; about {alarm.n} were to be expected."
        elif alarm.user_id:
            more = "; no user ever made as many" if alarm.kind == "loop" else ""
            text = f"One user made {alarm.n} of the calls within {alarm.window // 60} minutes{more}."
        else:
            text = "Cause not found: no single user carries it."
        confidence: Literal["likely", "unknown"] = "likely" if alarm.user_id else "unknown"
        return Finding(
            ts=ts,
            transition=transition,
            workflow=self.detector.workflow,
            family="silent" if silent else "cost",
            metric="calls",
            direction=-1 if silent else 1,
            unit="calls/h",
            observed=alarm.observed,
            usual=alarm.usual,
            n=alarm.n,
            started_at=alarm.started_at,
            cause=Cause(keys, confidence, text=text),
            calls_per_hour=alarm.observed,
            id=f"{self.detector.workflow}/{alarm.kind}/{int(ts)}",
        )

    def _id(self, watch: Watch, ts: float) -> str:
        dimension, value = watch.group
        kind = "~" if watch.contrast else ""
        return f"{self.detector.workflow}/{dimension}={value}/{watch.series.name}{kind}/{int(ts)}"
