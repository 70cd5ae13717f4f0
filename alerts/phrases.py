"""What each metric is called in a message, as data: a new metric needs one line.

``up`` and ``down`` are the words before the size of the change; ``action`` is the first thing to do. ``rank`` orders
causes before effects (lower explains higher): of metrics that move together the lowest rank leads the incident.
"""

from dataclasses import dataclass

from driftbell.detectors.finding import Finding


@dataclass(frozen=True, slots=True)
class Phrase:
    """The words for one metric: ``noun`` with ``up`` or ``down`` behind it."""

    noun: str
    rank: int
    action: str = ""
    up: str = "up"
    down: str = "down"

    @property
    def is_money(self) -> bool:
        """Whether nobody but the one who pays notices it."""
        return 20 <= self.rank < 30 or self.rank >= 60

    def words(self, direction: int) -> str:
        """The phrase for a rise (``direction`` > 0) or a fall."""
        return f"{self.noun} {self.up if direction > 0 else self.down}"


METRICS: dict[str, Phrase] = {
    "delivery": Phrase("alert channel", 1, "check its key and address, then run driftbell doctor", "broken", "works"),
    "weekly_summary": Phrase(
        "weekly summary", 1, "check the mail server, then send it with driftbell summary", "is overdue", "is out"
    ),
    "storm": Phrase("opened incidents", 2, "open the incident list; the largest were sent"),
    "status": Phrase("failed calls", 10, "check the provider's status page and the error types"),
    "retries": Phrase("attempts per call", 12, "cap the retries until the cause is known"),
    "n_sources": Phrase("documents found", 14, "check the search index and its last rebuild"),
    "top_score": Phrase("best document match", 15, "check the index and the embedding model"),
    "source_age": Phrase("age of documents used", 16, "check that the index is being refreshed"),
    "citations": Phrase("cited sources", 17, "check the prompt part that asks for citations"),
    "input_tokens": Phrase("input tokens per call", 20, "compare the prompts of before and after"),
    "output_tokens": Phrase("output tokens per call", 21, "check length limits and the prompt"),
    "cached_share": Phrase("cached share of input", 22, "check what changed at the start of the prompt"),
    "calls": Phrase("calls", 24, "check who sends the calls"),
    "eval.*": Phrase("{} score", 30, "read a sample of low-scored answers"),
    "format_ok": Phrase("answers in the agreed format", 31, "check the prompt and the model version"),
    "refused": Phrase("refusals", 32, "read a sample of refused requests"),
    "fallback": Phrase("calls served by the fallback", 33, "check the first-choice model"),
    "ai_share": Phrase("work done with the AI", 40, "ask the team that uses it what got in the way"),
    "override": Phrase("suggestions changed by staff", 41, "read a sample of changed suggestions"),
    "edit_distance": Phrase("rewriting by staff", 42, "read a sample of rewritten suggestions"),
    "review_ms": Phrase("review time", 43, "check that suggestions are still being read"),
    "feedback": Phrase("good user feedback", 44, "read the latest negative feedback"),
    "escalated": Phrase("cases passed on to a person", 45, "read a sample of passed-on cases"),
    "retrieval_ms": Phrase("retrieval time", 50, "check the load of the search service"),
    "ttft_ms": Phrase("time to first token", 51, "check the provider's status page"),
    "latency_ms": Phrase("response time", 52, "check the provider, token counts and retries"),
    "cost_per_call": Phrase("cost per call", 60, "find the change named above and undo it"),
    "spend": Phrase("spend", 61, "find who or what causes the extra calls"),
}
"""Metrics of the contract, and those that alerts raises about itself."""

SPECIAL: dict[str, Phrase] = {
    "silent/calls": Phrase("calls", 0, "check the application, its exporter and the network", "are back", "stopped"),
    "instrument/input_tokens": Phrase("calls without token usage", 89, "check what the instrumentation still sends"),
    "instrument/cost_per_call": Phrase("calls without a price", 90, "add the price of the model to the configuration"),
    "quality/output_tokens": Phrase("answers that were cut off", 31, "check the output limit and the prompt"),
    "n_sources/share/up": Phrase("answers without a document", 14, "check the search index and its last rebuild"),
    "citations/share/up": Phrase("answers without a cited source", 17, "check the prompt part that asks for citations"),
    "format_ok/share/up": Phrase("answers in a broken format", 31, "check the prompt and the model version"),
    "feedback/share/up": Phrase("bad user feedback", 44, "read the latest negative feedback"),
    "ai_share/share/up": Phrase("work done without the AI", 40, "ask the team that uses it what got in the way"),
    "retries/share/up": Phrase("calls that had to be retried", 12, "cap the retries until the cause is known"),
    "latency_ms/share/up": Phrase("slow calls", 52, "check the provider, token counts and retries"),
}  # fmt: skip
"""Where the same metric means something else: by family, or by unit and direction."""


_ALONG = "Moved with "
"""How the detectors begin the cause of a series that joined another one, in front of that one's metric."""


def phrase(finding: Finding) -> Phrase:
    """The words for the series of ``finding``; a metric without a line is called by its own name and ranks last."""
    way = "up" if finding.direction > 0 else "down"
    for key in (f"{finding.family}/{finding.metric}", f"{finding.metric}/{finding.unit}/{way}"):
        if key in SPECIAL:
            return SPECIAL[key]
    return named(finding.metric)


def cause_words(finding: Finding) -> str:
    """The cause of ``finding`` as readers see it: metrics by their names, and none that moved with itself."""
    start, _, rest = finding.cause.text.partition(". ")
    metric = start.removeprefix(_ALONG)
    if metric == start or not rest:
        return finding.cause.text
    return rest if metric == finding.metric else f"{_ALONG}{named(metric).noun}. {rest}"


def named(metric: str) -> Phrase:
    """The words for a metric of which nothing but the name is known."""
    if metric in METRICS:
        return METRICS[metric]
    group, _, rest = metric.partition(".")
    found = METRICS.get(f"{group}.*")
    label = (rest if found else metric).replace("_", " ").replace(".", " ")
    return Phrase(found.noun.format(label), found.rank, found.action) if found else Phrase(label, 99)
