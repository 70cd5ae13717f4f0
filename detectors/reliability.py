"""What is watched about the provider: errors, latency given the length of the answer, its tail, fallbacks."""

from driftbell.detectors.series import Series

SERIES = (
    Series("reliability", "status", "error", "rate", 1, 0.02, "share"),
    Series("reliability", "latency_ms", "slowness", "quantity", 1, 1.2, "ms", strata=True, contrast=True),
    Series("reliability", "latency_ms", "slowness", "tail", 1, 0.03, "ms", strata=True, leads=False),
    Series("reliability", "ttft_ms", "ttft_ms", "quantity", 1, 1.25, "ms"),
    Series("reliability", "fallback", "fallback", "rate", 1, 0.05, "share"),
)
