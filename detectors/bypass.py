"""What is watched about people: overrides, edits, work done without the AI, and reviews too fast to be reviews."""

from driftbell.detectors.series import Series

SERIES = (
    Series("bypass", "override", "override", "rate", 1, 0.05, "share"),
    Series("bypass", "override", "rejected", "rate", 1, 0.05, "share", leads=False),
    Series("bypass", "edit_distance", "edit_distance", "quantity", 1, 1.3, "share"),
    Series("bypass", "review_ms", "review_ms", "quantity", -1, 0.7, "ms"),
    Series("bypass", "ai_share", "manual", "rate", 1, 0.05, "share"),
)
