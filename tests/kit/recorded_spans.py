"""What real emitters sent, as recorded under tests/collectors/otlp."""

import gzip
from pathlib import Path

from driftbell.collectors.decode import decode_logs, decode_traces
from driftbell.collectors.merge import event_span

OTLP = Path(__file__).parents[1] / "collectors" / "otlp"
EMITTERS = sorted({path.parent.name for path in OTLP.glob("*/*.truth.json")})


def spans_of(emitter: str) -> list:
    """All spans and log events of all cases of an emitter."""
    spans = []
    for path in sorted((OTLP / emitter).iterdir()):
        signal = next((name for name in ("traces", "logs") if f".{name}." in path.name), None)
        if signal is None or path.name.endswith("headers.json"):
            continue
        body = path.read_bytes()
        body = gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body
        encoding = "json" if path.suffix == ".json" else "protobuf"
        if signal == "traces":
            spans += decode_traces(body, encoding).spans
        else:
            spans += [span for record in decode_logs(body, encoding).records if (span := event_span(record))]
    return spans
