"""Calls and day points made inside the engine, for `scale.py`: the same calls whether they are stored or only added up.

Every workflow has four segments, two models and one risk tier; a call follows from its number.
"""

from driftbell.collectors.clickhouse.client import Connection
from driftbell.collectors.sums import SPREADS

DAY, BIN = 86_400, 300
END = 1_794_787_200
"""A Monday, 00:00 UTC."""
DAYS = 30
EDGE = END - DAY
"""What is known at a midnight is watched from then on."""
SEGMENTS = 4
LEARNING = 3
"""Bins before `EDGE`, after which each series is watched when the measured bins come."""
MEASURED = 3
_LATENCY, _INPUT, _OUTPUT, _COST = 400, 500, 50, 0.001
_CLASSES = range(6, 11)
"""Powers of two that the output tokens of a call reach."""


def calls_of(number: str, workflows: int, ts: str) -> str:
    """Columns of the table of calls for the ``number`` of a call."""
    chance = f"(sipHash64({number}) % 1000000 / 1000000.)"
    slot = f"intDiv({number}, {workflows})"
    return (
        f"SELECT {ts} AS ts, concat('workflow-', toString({number} % {workflows})) AS workflow, "
        f"concat('s', toString({slot} % {SEGMENTS})) AS segment, 'high' AS risk_tier, "
        f"concat('atlas-', toString(intDiv({slot}, {SEGMENTS}) % 2)) AS model, 'v1' AS prompt_version, "
        f"hex(sipHash64({number} % 50000)) AS user_id, if({chance} < 0.01, 'error', 'ok') AS status, "
        f"1 AS attempts, false AS fallback, 'provider' AS usage_source, 'chat' AS operation, 'openai' AS provider, "
        f"toInt64({_INPUT} + 3000 * {chance}) AS input_tokens, toInt64(200 * {chance}) AS cached_tokens, "
        f"toInt64({_OUTPUT} + 800 * {chance}) AS output_tokens, {_COST} + 0.01 * {chance} AS cost_usd, "
        f"{_LATENCY} + 4000 * {chance} AS latency_ms, 'stop' AS finish_reason, false AS refused, true AS format_ok, "
        f"'driftbell' AS dialect, hex(sipHash128({number})) AS trace_id, hex(sipHash64({number}, 1)) AS span_id, "
        f"'{{}}' AS attributes, toInt64(floor(ts / 60) * 60) AS minute, "
        f"reinterpretAsInt64(sipHash64({number}, 2)) AS key, key AS home, ts + 2 AS received, 1 AS version"
    )


def _insert(client: Connection, source: str, numbers: str) -> None:
    names = [part.rsplit(" AS ", 1)[1] for part in _split(source.removeprefix("SELECT "))]
    client.command(f"INSERT INTO calls ({', '.join(names)}) {source} FROM {numbers}")


def _split(columns: str) -> list[str]:
    """The columns of a SELECT, at the commas outside of brackets."""
    found, depth = [""], 0
    for letter in columns:
        depth += (letter == "(") - (letter == ")")
        if letter == "," and depth == 0:
            found.append("")
        else:
            found[-1] += letter
    return [column.strip() for column in found]


def _day(calls: int, day: int) -> tuple[str, str]:
    """When a call of the ``day``-th of thirty ended, and the numbers of the calls of that day."""
    per_day = calls // DAYS
    first = day * per_day
    return f"{END - (DAYS - day) * DAY} + {DAY} * ((number - {first} + 0.5) / {per_day})", f"{first}, {per_day}"


def fill(client: Connection, calls: int, workflows: int, days: int) -> int:
    """Store the last ``days`` of ``calls`` in thirty days, and one more of every series in every bin that is evaluated.

    How many it was.
    """
    for day in range(DAYS - days, DAYS):
        ts, numbers = _day(calls, day)
        _insert(client, calls_of("number", workflows, ts), f"numbers({numbers})")
    each = workflows * SEGMENTS
    for bin_ in range(LEARNING + MEASURED):
        began = EDGE + (bin_ - LEARNING) * BIN
        number = f"(number + {10**12 + bin_ * 10**6})"
        _insert(client, calls_of(number, workflows, f"{began} + 299 * (number / {each})"), f"numbers({each})")
    return calls // DAYS * days + each * (LEARNING + MEASURED)


def know(client: Connection, workflows: int) -> None:
    """Tell of the workflows."""
    columns = "name, first_ts, newest_ts, received, version"
    first = EDGE - LEARNING * BIN
    client.command(
        f"INSERT INTO workflows ({columns}) SELECT concat('workflow-', toString(number)), {first}, {END}, {END}, 1 "
        f"FROM numbers({workflows})"
    )


def mark(client: Connection, began: int, now: float) -> None:
    """Mark the minutes of the bin that began then as changed."""
    client.command(
        "INSERT INTO dirty (slot, resolution, workflow, start, times, done, first, touched) "
        f"SELECT DISTINCT {int(now) // 60 * 60}, 60, workflow, minute, 1, 0, {began}, {began} FROM calls "
        f"WHERE minute >= {began} AND minute < {began + BIN}"
    )


def repeat_minutes(client: Connection, began: int, hours: int) -> None:
    """Put the minute points of a bin into every bin of the ``hours`` before all bins that are evaluated.

    A cycle reads the newest among those that are kept.
    """
    first, bins = EDGE - LEARNING * BIN, hours * 3600 // BIN
    client.command(
        "INSERT INTO points (resolution, workflow, start, version, series, bodies) "
        f"SELECT resolution, workflow, {first} - {BIN} * at + start - {began}, version, series, bodies FROM points "
        f"ARRAY JOIN range(1, {bins + 1}) AS at "
        f"WHERE resolution = 60 AND start >= {began} AND start < {began + BIN} SETTINGS max_block_size = 1000"
    )
    client.command("OPTIMIZE TABLE points FINAL")


def day_points(client: Connection, calls: int, workflows: int) -> None:
    """The points of thirty days, added up of the calls inside the engine without storing these: all that was measured
    of them, as `driftbell.collectors.rollup` does, with its buckets.
    """
    weighed = "(input_tokens - cached_tokens + 0.2 * cached_tokens + 4.5 * output_tokens)"
    expected = "(300 + 0.04 * input_tokens + 12 * output_tokens)"
    slowness = [
        _quantity(f"slowness|{k}", f"latency_ms / {expected}", f"ok AND toInt64(floor(log2(output_tokens))) = {k - 1}")
        for k in _CLASSES
    ]
    quantities = (
        *(_quantity(name, name) for name in ("attempts", "input_tokens", "cached_tokens")),
        _quantity("cost", "cost_usd"),
        _quantity("cached_share", "cached_tokens / input_tokens", "input_tokens >= 1024 OR cached_tokens > 0"),
        _quantity("price", f"1e6 * cost_usd / {weighed}"),
        *(_quantity(name, name, "ok") for name in ("output_tokens", "latency_ms")),
        *slowness,
    )
    of_all = ("error", "retried", "fallback", "usage_missing", "unpriced")
    rates = [_rate(name, "status = 'error'" if name == "error" else "0", "1") for name in of_all]
    rates += [_rate(name, "0", "ok") for name in ("refused", "format_failed", "truncated")]
    users = "arrayStringConcat(arrayMap(u -> concat('\"', u, '\":1'), groupUniqArray(16)(user_id)), ',')"
    bodies, spreads = (_listed(told) for told in zip(*quantities, strict=True))
    body = (
        "concat('{\"c\":', toString(count()), ',\"r\":{', "
        + ", ',', ".join(rates)
        + f", '}},\"q\":', {bodies}, ',\"u\":{{', {users}, '}}}}')"
    )
    names = "concat('[\"', segment, '\",\"', risk_tier, '\",\"', model, '\",\"', prompt_version, '\"]')"
    for day in range(DAYS):
        ts, numbers = _day(calls, day)
        source = calls_of("number", workflows, ts)
        client.command(
            "INSERT INTO points (resolution, workflow, start, version, series, bodies, spreads) "
            f"SELECT {DAY}, workflow, {END - (DAYS - day) * DAY}, 1, groupArray(names), groupArray(body), "
            f"groupArray(spread) FROM (SELECT workflow, {names} AS names, {body} AS body, {spreads} AS spread "
            f"FROM ({source}, status = 'ok' AS ok FROM numbers({numbers})) "
            "GROUP BY workflow, segment, risk_tier, model, prompt_version) GROUP BY workflow"
        )


def _listed(parts: tuple[str, ...]) -> str:
    """The members of a JSON object that are not empty."""
    return f"concat('{{', arrayStringConcat(arrayFilter(t -> t != '', [{', '.join(parts)}]), ','), '}}')"


def _quantity(name: str, value: str, where: str = "1") -> tuple[str, str]:
    """A quantity and its histogram, as `clickhouse.spread` tells them apart; empty where there was none."""
    bucket = f"if({value} < exp2(-60), -1024, toInt16(floor(8 * log2({value}))))"
    held = f"arraySort(groupArrayIf({bucket}, {where}))"
    runs = f"arraySplit((b, d) -> d != 0, {held}, arrayDifference({held}))"
    pairs = f"arrayStringConcat(arrayMap(r -> concat(toString(r[1]), ',', toString(length(r))), {runs}), ',')"
    sums = f"toString(countIf({where})), ',', toString(sumIf({value}, {where}))"
    more = f", ',', {pairs}" if name in SPREADS else ""
    told = f"concat('\"{name}\":[', {sums}{more}, ']')"
    apart = "''" if name in SPREADS else f"concat('\"{name}\":[', {pairs}, ']')"
    none = f"countIf({where}) = 0"
    return f"if({none}, '', {told})", f"if({none}, '', {apart})"


def _rate(name: str, hit: str, where: str) -> str:
    return f"concat('\"{name}\":[', toString(countIf({where} AND {hit})), ',', toString(countIf({where})), ']')"
