"""The words of a message: the same facts for every channel, in the reader's time zone."""

from dataclasses import dataclass
from pathlib import Path

import css_inline
import jinja2

from driftbell.alerts.message import Message
from driftbell.alerts.plain import shorten
from driftbell.alerts.wording import SEVERITY_WORDS, duration, moment, money, percent

HEADLINE_LENGTH = 100
MAX_HTML = 80_000
ONSET_SLACK = 600.0
"""The onset is an estimate: a change so near to it (seconds) came with it."""
NO_MONEY = 0.005
"""USD below which no cost is told."""
WORTH_A_TITLE = 0.995
"""USD below which money is no reason to hurry."""
_CAUSE_LABEL = {"likely": "Likely", "possible": "Possible", "unknown": "Cause"}
_TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=jinja2.select_autoescape(["html"]),
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


@dataclass(frozen=True, slots=True)
class Row:
    """One labelled fact."""

    label: str
    text: str


def state_word(message: Message) -> str:
    """The word in front of the title: the severity of a new incident, else what happened to it."""
    words = {
        "updated": "UPDATE",
        "resolved": "RESOLVED",
        "unknown": "CANNOT TELL",
        "escalated": "STILL OPEN",
        "acknowledged": "TAKEN",
        "test": "TEST",
        "change": "CHANGE",
    }
    return words.get(message.transition, SEVERITY_WORDS[message.severity])


def headline(message: Message, zone: str) -> str:
    """State and title in at most 100 characters: what a phone shows of the message."""
    return shorten(f"[{state_word(message)}] {_headline(message, zone)}", HEADLINE_LENGTH)


def _headline(message: Message, zone: str) -> str:
    workflow = shorten(message.workflow, 30)
    if message.transition == "resolved":
        lasted = duration((message.ended_at or message.at) - message.started_at)
        spent = message.extra_usd or 0.0
        extra = f", extra cost {money(spent)}" if spent >= WORTH_A_TITLE else ""
        return f"{workflow}: {_ending(message)} after {lasted}{extra}"
    if message.transition == "unknown":
        return f"{workflow}: no data since {moment(message.unknown_since or message.at, zone)}; not closed"
    return message.title


def _ending(message: Message) -> str:
    if message.closed_by:
        return f"{message.noun}, closed by {shorten(message.closed_by, 30)},"
    return message.over


def rows(message: Message, zone: str) -> list[Row]:
    """The facts in the order in which a reader at 3 a.m. needs them; only those that are known."""
    if message.transition == "test":
        return [Row("Test", message.note)]
    if message.transition == "resolved":
        found = _end_rows(message, zone)
    elif message.transition == "unknown":
        found = _unknown_rows(message, zone)
    else:
        found = _open_rows(message, zone)
    if not message.is_about_us:
        found.append(Row("Owner", message.owner or "nobody named; set owner on the workflow"))
        found.append(Row("Numbers", f"driftbell explain {message.incident_id}"))
    return [row for row in found if row.text]


def _open_rows(message: Message, zone: str) -> list[Row]:
    return [
        Row("News", _news(message)),
        Row("Users", message.users),
        Row("Since", _since(message, zone)),
        Row("Where", where(message)),
        *_why(message, zone),
        Row("Ruled out", ", ".join(message.ruled_out)),
        Row("Also", "; ".join(message.others)),
        Row("Do now", _do_now(message)),
        Row("Before", _before(message)),
        Row("Traces", ", ".join(message.trace_ids)),
    ]


def _end_rows(message: Message, zone: str) -> list[Row]:
    ended = message.ended_at or message.at
    after = f", ended after {message.ended_with}" if message.ended_with else ""
    calls = f"; {message.calls_seen:,} calls" if message.calls_seen else ""
    lasted = f"{moment(message.started_at, zone)} to {moment(ended, zone)}, {duration(ended - message.started_at)}"
    return [
        Row("Was", _was(message)),
        Row("Lasted", f"{lasted}{calls}{after}"),
        Row("Worst", _worst(message, zone)),
        Row("Cost", _total(message)),
        Row("Now", _now_at(message)),
        Row("Where", where(message)),
        Row("Rule", message.rule),
        Row("Cause", _cause(message)),
        Row("Closed", _closed(message)),
    ]


def _unknown_rows(message: Message, zone: str) -> list[Row]:
    since = message.unknown_since or message.at
    return [
        Row("Was", _was(message)),
        Row("No data", f"since {moment(since, zone)}: neither better nor worse can be told, so it stays open"),
        Row("Cost", f"{money(message.extra_usd)} more than usual until then" if message.extra_usd else ""),
        Row("Where", where(message)),
        *_why(message, zone),
        Row("Do now", "check that calls still arrive: the application, its exporter, the network between"),
    ]


def _news(message: Message) -> str:
    """What is new against the message before; empty for an opening."""
    if message.transition == "opened":
        return "open again after it had been over; it is the same incident" if message.reopened else ""
    age = duration(message.at - message.started_at)
    spent = f", {money(message.extra_usd)} more than usual so far" if message.extra_usd else ""
    said = {
        "severity_raised": f"now {SEVERITY_WORDS[message.severity]}",
        "more_segments": "more segments show it now",
        "segments_named": "it is now clear which segments show it",
        "spread_to_the_workflow": "the whole workflow shows it now",
        "cause_changed": "the cause is seen differently now",
        "data_back": "data is back and it still shows",
        "nobody_acknowledged": "nobody acknowledged it",
    }.get(message.reason, "")
    taken = f"taken by {message.acknowledged_by}" if message.transition == "acknowledged" else said
    return f"{taken}; still open after {age}{spent}" if taken else ""


def _since(message: Message, zone: str) -> str:
    begun = message.started_at if message.again_since is None else message.again_since
    age = message.at - begun
    start = moment(begun, zone) + (f", for {duration(age)}" if age >= 1 else "")
    if message.again_since is not None:
        start += f" (the first time {moment(message.started_at, zone)})"
    seen = f"; {message.sample_n:,} {'call' if message.sample_n == 1 else 'calls'}" if message.sample_n else ""
    hour = " for this hour" if message.metric == "calls" else ""
    return f"{start}{seen}" + (f". Usual{hour}: {message.usual}" if message.usual else "")


def where(message: Message) -> str:
    """The segments that show it."""
    if message.family == "instrument":
        return ""
    tier = f", risk tier {message.risk_tier}" if message.risk_tier else ""
    if message.segment:
        named = [message.segment, *(s for s in message.segments if s != message.segment)]
        return (f"segments {', '.join(named)}" if len(named) > 1 else f"segment {named[0]} only") + tier
    clearest = f"; seen in {', '.join(message.segments)}" if message.segments else ""
    return f"the whole workflow{tier}{clearest}"


def _why(message: Message, zone: str) -> list[Row]:
    """The cause in words, what was changed when, the evidence, and how sure that makes it."""
    changed = ""
    if message.marker and message.marker_at is not None:
        before = message.started_at - message.marker_at
        gap = ", as it began"
        if abs(before) >= ONSET_SLACK:
            gap = f", {duration(before)} before" if before > 0 else f", {duration(-before)} after it began"
        changed = f"{message.marker}: {moment(message.marker_at, zone)}{gap}"
    return [
        Row("Rule", message.rule),
        Row(_CAUSE_LABEL[message.confidence], _cause(message)),
        Row("Changed", changed),
        Row("How sure", _how_sure(message)),
        Row("Evidence", "; ".join(message.evidence)),
    ]


def _cause(message: Message) -> str:
    return "not found" if message.cause.rstrip(".").lower() == "cause not found" else message.cause


def _how_sure(message: Message) -> str:
    part = f"it explains {percent(message.cause_share)} of the change" if message.cause_share is not None else ""
    if message.confidence == "likely":
        first = message.marker_at is not None and message.marker_at <= message.started_at
        return " and ".join(said for said in ("it came first" if first else "", part) if said)
    return f"not proven; {part}" if message.confidence == "possible" and part else ""


def _do_now(message: Message) -> str:
    left = ""
    if (message.usd_per_hour or 0.0) * 24 >= WORTH_A_TITLE:
        left = f"; if left: about {money((message.usd_per_hour or 0.0) * 24)}/day"
    return f"{message.action}{left}" if message.action else left.removeprefix("; ")


def _before(message: Message) -> str:
    times = {0: "", 1: "once before in this workflow and family"}.get(
        message.previous, f"{message.previous} times before in this workflow and family"
    )
    if message.is_about_us:  # those before may be of other channels
        times = ""
    swings = "it swings round its limit, so the end is confirmed for longer" if message.flapping else ""
    return "; ".join(part for part in (times, swings) if part)


def _now_at(message: Message) -> str:
    if message.closed_by or not message.back_to:
        return ""
    usual = f" (usual {message.usual})" if message.usual and message.metric != "calls" else ""
    return f"{message.back_to}{usual}"


def _was(message: Message) -> str:
    """What readers were told at the opening; what moved since has rows of its own."""
    return message.subject.partition("] ")[2] or message.title


def _worst(message: Message, zone: str) -> str:
    if not message.peak:
        return ""
    return message.peak + (f", {moment(message.peak_at, zone)}" if message.peak_at is not None else "")


def _total(message: Message) -> str:
    extra = message.extra_usd or 0.0
    if abs(extra) < NO_MONEY:
        return ""
    return f"{money(abs(extra))} {'more' if extra > 0 else 'less'} than usual in all"


def _closed(message: Message) -> str:
    if message.closed_by:
        return f"by {message.closed_by}"
    good = message.at - (message.ended_at or message.at)
    return f"by itself: {message.over}" + (f", for {duration(good)} now" if good >= 60 else "")


def as_text(message: Message, zone: str, links: list[tuple[str, str]]) -> str:
    """The message as plain text."""
    template = _TEMPLATES.get_template("incident-text.txt")
    return template.render(headline=headline(message, zone), rows=rows(message, zone), links=links)


def as_html(message: Message, zone: str, links: list[tuple[str, str]]) -> str:
    """The message as an HTML page for mail, styles inlined, at most `MAX_HTML` characters by its bounded parts."""
    template = _TEMPLATES.get_template("incident-html.html")
    page = template.render(
        headline=headline(message, zone),
        word=state_word(message),
        tone="good" if message.is_end else ("unsure" if message.transition == "unknown" else message.severity),
        title=headline(message, zone).partition("] ")[2],
        rows=rows(message, zone),
        links=links,
    )
    return css_inline.inline(page, keep_at_rules=True, load_remote_stylesheets=False)
