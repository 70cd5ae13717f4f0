"""Cuts the demonstration's sample out of a full replay file: three workflows, twenty days that end with a Sunday.

    python bench/cut_sample.py replay_dev.jsonl.gz service/sample/traffic.jsonl.gz

User ids are shortened to five hex digits and sources to their three best, for size; nothing else is changed.
"""

import gzip
import json
import sys
from pathlib import Path

WORKFLOWS = ("contract-review", "policy-search", "reply-drafts")
FIRST = 1772496000  # Tue 2026-03-03 00:00 UTC, the first day of the file
END = 1774224000  # Mon 2026-03-23 00:00 UTC


def cut(source: Path, target: Path) -> int:
    """Write the records of the sample, in their order, and return how many there are."""
    kept = 0
    with (
        gzip.open(source, "rt") as lines,
        target.open("wb") as raw,
        gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=9, mtime=0, filename="") as out,
    ):
        for line in lines:
            record = json.loads(line)
            if record["workflow"] not in WORKFLOWS or not FIRST <= record["ts"] < END:
                continue
            if "user_id" in record:
                record["user_id"] = record["user_id"][:5]
            if record.get("sources"):
                record["sources"] = record["sources"][:3]
            out.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
            kept += 1
    return kept


if __name__ == "__main__":
    source, target = (Path(name) for name in sys.argv[1:3])
    print(cut(source, target), "records,", target.stat().st_size, "bytes")
