"""What is watched about the telemetry itself: a broken instrument must not look like a changed workflow."""

from driftbell.detectors.series import Series

SERIES = (
    Series("instrument", "input_tokens", "usage_missing", "rate", 1, 0.05, "share", leads=False),
    Series("instrument", "cost_per_call", "unpriced", "rate", 1, 0.05, "share", leads=False),
)
