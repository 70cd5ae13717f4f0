"""What is watched about answers: evaluations, refusals, broken formats, truncation, feedback, escalations."""

from driftbell.detectors.series import Series

SERIES = (
    Series("quality", "refused", "refused", "rate", 1, 0.02, "share"),
    Series("quality", "format_ok", "format_failed", "rate", 1, 0.02, "share"),
    Series("quality", "output_tokens", "truncated", "rate", 1, 0.03, "share", leads=False),
    Series("quality", "feedback", "feedback_negative", "rate", 1, 0.08, "share"),
    Series("quality", "escalated", "escalated", "rate", 1, 0.04, "share"),
)


def evaluation(name: str) -> Series:
    """The series of one evaluation score (0..1, higher is better)."""
    return Series("quality", name, name, "quantity", -1, 0.96, "score")
