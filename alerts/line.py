"""The incident line: what `replay --json`, `incidents --json` and the API say of an incident."""

from driftbell.alerts.message import told_title
from driftbell.alerts.phrases import cause_words
from driftbell.alerts.record import Incident


def incident_line(incident: Incident) -> dict[str, object]:
    """``incident`` as plain JSON values; times are epoch seconds, an unknown value is None.

    The first eleven fields are the published ones (``ts`` is the detection in event time); the others add to them.
    """
    lead = incident.lead
    ack = incident.ack
    return {
        "ts": incident.opened_at,
        "workflow": incident.workflow,
        "family": incident.family,
        "metric": lead.metric,
        "segment": lead.segment,
        "cause": dict(lead.cause.keys),
        "severity": incident.severity,
        "observed": lead.observed,
        "usual": lead.usual,
        "started_at": incident.started_at,
        "title": told_title(incident),
        "id": incident.id,
        "state": incident.state,
        "direction": lead.direction,
        "unit": lead.unit,
        "n": lead.n,
        "interval": [lead.interval.low, lead.interval.high] if lead.interval else None,
        "segments": list(incident.segments),
        "metrics": sorted({m.finding.metric for m in incident.members.values()}),
        "related": list(lead.related),
        "risk_tier": lead.risk_tier,
        "owner": lead.owner,
        "cause_text": cause_words(lead),
        "confidence": lead.cause.confidence,
        "evidence": list(lead.cause.evidence),
        "ruled_out": list(lead.cause.ruled_out),
        "trace_ids": list(incident.impact.trace_ids),
        "marker": lead.cause.marker,
        "marker_at": lead.cause.marker_at,
        "usd_per_hour": incident.usd_per_hour,
        "extra_usd": incident.extra_usd,
        "clearing_since": incident.clearing_since,
        "unknown_since": incident.unknown_since,
        "resolved_at": incident.resolved_at,
        "ended_at": incident.ended_at,
        "resolved_by": incident.resolved_by,
        "acknowledged_by": ack.by if ack else None,
        "acknowledged_at": ack.at if ack else None,
        "verdict": ack.verdict if ack else None,
        "flapping": incident.flapping,
        "reopened": incident.reopened,
        "previous": incident.previous,
    }
