"""Episode: series of one workflow that moved for one reason, and the one among them that explains the others."""

from dataclasses import dataclass, field

EXPLAINS: dict[str, frozenset[str]] = {
    "status": frozenset({
        "retries", "latency_ms", "ttft_ms", "cost_per_call", "n_sources", "citations", "output_tokens", "fallback",
        "escalated", "feedback", "calls", "input_tokens", "ai_share",
    }),
    "fallback": frozenset({"cost_per_call", "latency_ms", "output_tokens"}),
    "retries": frozenset({"cost_per_call", "latency_ms"}),
    "input_tokens": frozenset({"cost_per_call", "latency_ms", "cached_share", "ttft_ms"}),
    "output_tokens": frozenset({"cost_per_call"}),
    "cached_share": frozenset({"cost_per_call", "ttft_ms"}),
    "n_sources": frozenset({
        "citations", "top_score", "source_age", "feedback", "escalated", "override", "edit_distance", "eval.*",
    }),
    "top_score": frozenset({"citations", "feedback", "escalated", "override", "edit_distance", "eval.*"}),
    "source_age": frozenset({"eval.*", "feedback", "escalated"}),
    "refused": frozenset({"output_tokens", "eval.*", "feedback", "escalated", "override"}),
    "format_ok": frozenset({"output_tokens", "override", "edit_distance"}),
    "eval.*": frozenset({"feedback", "escalated", "override", "edit_distance"}),
    "override": frozenset({"edit_distance"}),
    "review_ms": frozenset({"edit_distance", "override"}),
}  # fmt: skip
"""What a change of one metric explains by itself. An outage moves retries and latency, never the other way round."""
TOGETHER = 6 * 3600.0
"""A series whose onset is this near belongs together with what explains it or is of its family."""

SOON = 3600.0
"""Seconds after an alarm whose cause was not found before it is looked for again."""


@dataclass(slots=True)
class Episode:
    """What moved together: the leading metric, its family, the onset and the indices of the watches in it."""

    metric: str
    family: str
    started_at: float
    fired_at: float
    segment: str | None = None
    keys: dict[str, str] = field(default_factory=dict)
    text: str = ""
    watches: list[int] = field(default_factory=list)
    unexplained: bool = False
    """Nothing was found that it could be due to, so far."""
    looked_at: float = 0.0
    """When it was last looked for."""

    def looks_again(self, ts: float) -> bool:
        """Whether it is time to look for the cause again: after an hour, then when the episode is twice as old."""
        return self.unexplained and ts - self.fired_at >= max(2 * (self.looked_at - self.fired_at), SOON)

    def holds(self, metric: str, family: str, started_at: float) -> bool:
        """Whether a series that began to move at ``started_at`` belongs to this episode."""
        if metric == self.metric:
            return True
        kin = family == self.family or explains(self.metric, metric) or explains(metric, self.metric)
        near = abs(started_at - self.started_at) <= TOGETHER or abs(started_at - self.fired_at) <= TOGETHER
        return kin and near


def explains(cause: str, effect: str) -> bool:
    """Whether a change of ``cause`` moves ``effect`` by itself, directly or through one that it moves."""
    return _general(effect) in _closure(_general(cause))


def root(metrics: dict[str, float], fired: str) -> str:
    """Of the metrics that moved (with their evidence), the one that explains ``fired`` and is explained by none."""
    reasons = [m for m in metrics if m == fired or explains(m, fired)]
    first = [m for m in reasons if not any(explains(other, m) and not explains(m, other) for other in reasons)]
    return max(first or [fired], key=lambda m: (metrics.get(m, 0.0), m))


def _general(metric: str) -> str:
    return "eval.*" if metric.startswith("eval.") else metric


def _closure(cause: str) -> frozenset[str]:
    found: set[str] = set()
    waiting = [cause]
    while waiting:
        for effect in EXPLAINS.get(waiting.pop(), ()):
            if effect not in found:
                found.add(effect)
                waiting.append(effect)
    return frozenset(found - {cause})
