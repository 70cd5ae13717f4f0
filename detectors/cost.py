"""What is watched about money: price per token, tokens, cache and attempts, each apart, and their product."""

from driftbell.detectors.series import Series

SERIES = (
    Series("cost", "cost_per_call", "cost", "quantity", 1, 1.2, "usd", contrast=True),
    Series("cost", "cost_per_call", "price", "quantity", 1, 1.25, "usd"),
    Series("cost", "input_tokens", "input_tokens", "quantity", 1, 1.15, "tokens", contrast=True),
    Series("cost", "output_tokens", "output_tokens", "quantity", 1, 1.2, "tokens", contrast=True),
    Series("cost", "cached_share", "cached_share", "quantity", -1, 0.8, "share"),
    Series("cost", "retries", "retried", "rate", 1, 0.05, "share"),
)
