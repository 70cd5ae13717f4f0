"""What is watched about retrieval, without reading a document: emptiness, scores, age, citations, time."""

from driftbell.detectors.series import Series

SERIES = (
    Series("retrieval", "n_sources", "no_sources", "rate", 1, 0.03, "share"),
    Series("retrieval", "n_sources", "n_sources", "quantity", -1, 0.8, "sources", leads=False),
    Series("retrieval", "top_score", "top_score", "quantity", -1, 0.95, "score", contrast=True),
    Series("retrieval", "source_age", "source_age", "quantity", 1, 1.2, "days"),
    Series("retrieval", "source_age", "freshest_age", "quantity", 1, 1.25, "days", leads=False),
    Series("retrieval", "citations", "uncited", "rate", 1, 0.05, "share"),
    Series("retrieval", "retrieval_ms", "retrieval_ms", "quantity", 1, 1.4, "ms"),
)
