"""Bodies of points, compressed against what all of them have in common: less than half the size.

The first byte names the dictionary, so that a better one can be added; those in use must never change.
"""

import zlib

_DICTIONARIES = {
    b"\x01": (
        b'"u":{"m":,1.0,1,"retrieval_ms":["n_sources":["top_score":["source_age":["freshest_age":["eval.":['
        b'"edit_distance":["review_ms":["ttft_ms":["slowness|11":["slowness|10":["slowness|9":["slowness|8":['
        b'"slowness|7":["slowness|6":[{"c":1,"r":{"no_sources":[0,1],"uncited":[0,1],"override":[0,1],"rejected":[0,1],'
        b'"feedback_negative":[0,1],"escalated":[0,1],"outcome.resolved":[1,1],"refused":[0,1],"format_failed":[0,1],'
        b'"truncated":[0,1],"fallback":[0,1],"timeout":[1,1],"rate_limited":[1,1],{"c":24,"r":{"error":[0,24],'
        b'"retried":[0,24],"usage_missing":[0,24],"unpriced":[0,24],"truncated":[0,24]},"q":{"attempts":[24,24.0,0,24],'
        b'"cost":[24,0.3,-67,1,-62,1,-61,1,-60,1,-53,1,-52,1,-51,2,-50,1,-49,4,-48,3,-47,4,-46,1,-45,1,-44,2],'
        b'"input_tokens":[24,59033.0,67,1,77,4,81,1,82,1,85,1,87,1,89,2,90,2,91,1,92,1,93,1,94,3,95,5],'
        b'"cached_share":[19,0.0,-1024,19],"cached_tokens":[24,0.0,-1024,24],"price":[24,75.8,12,3,13,21],'
        b'"output_tokens":[24,11516.0,55,1,56,1,58,1,59,1,61,1,62,1,63,1,66,1,68,1,70,1,71,3,73,5,75,2,76,1,77,2,78,1],'
        b'"latency_ms":[24,30043.8,65,1,68,1,71,2,73,1,74,2,76,3,77,4,79,2,82,2,87,2,88,1,90,2,99,1]},"u":{"'
    ),
}
_NEWEST = b"\x01"


def press(body: str) -> bytes:
    """The stored form of a body."""
    compressor = zlib.compressobj(1, zdict=_DICTIONARIES[_NEWEST])
    return _NEWEST + compressor.compress(body.encode()) + compressor.flush()


def release(stored: bytes) -> str:
    """Inverse of `press`."""
    expander = zlib.decompressobj(zdict=_DICTIONARIES[stored[:1]])
    return expander.decompress(stored[1:]).decode()
