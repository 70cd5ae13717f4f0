"""What `driftbell doctor` looks at: each check is a sentence with a verdict, and what to do where it is not good."""

import shutil
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import requests

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.links import link_key
from driftbell.alerts.outbox import Channels
from driftbell.alerts.proof import send_test
from driftbell.alerts.secret import SecretMissingError, resolve
from driftbell.alerts.settings import Links
from driftbell.collectors.batch import StoreUnavailableError
from driftbell.collectors.clickhouse.client import connect
from driftbell.collectors.clickhouse.failure import NO_DATABASE
from driftbell.collectors.store import FILE, Store
from driftbell.service.config import Config, parse_address
from driftbell.service.config_secrets import missing_secrets

Verdict = Literal["good", "note", "bad"]
ENOUGH_DISK = 1 << 30
DAY = 86_400.0
WORTH_TELLING = 0.01
AHEAD = 300.0
LONG_AGO = 730 * DAY
WORTH_A_WORD = {
    "rejected": "were invalid and were refused",
    "late": "came more than ten minutes after they ended",
    "too_old": "were too old to be taken",
    "ahead": "ended in the future: the sender's clock is wrong",
    "sampled": "stand for others that the sender left out: calls and costs are too low, see docs/collector.md",
    "sdk_dropped": "were lost in the application before they were sent",
}
OF_CALLS = {
    "unpriced": "have no known price: name their models under prices",
    "usage_missing": "came without token counts",
    "usage_estimated": "have token counts that the sender estimated",
    "unnamed": "went to the workflow (other), for there are too many names: is there an id in them?",
}
REMEDIES = {
    "auth_error": "its key, token or password is not accepted: make a new one",
    "not_found": "nothing is there: check the address, the channel's name, and that the bot is in the channel",
    "gone": "it was taken away: make a new address",
    "bad_address": "the address cannot be read: write https://…",
    "redirected": "the address leads elsewhere: write the one it leads to",
    "unreachable": "nobody answers there: check host, port and firewall",
    "timeout": "no answer in time: check host, port and firewall, or raise its timeout",
    "server_error": "its server has a fault of its own: try again later",
    "rate_limited": "it had too many messages: try again later",
    "bad_secret": "the secret must be whsec_ and 24 to 64 bytes in base64",
    "bad_request": "its server did not understand the message: check that it is of this kind",
    "recipients_refused": "its server takes no mail for these addresses",
    "no_starttls": "its server knows no STARTTLS: set tls to tls, or to none for a relay on this machine",
    "tls_failed": "its server cannot prove who it is: check its certificate and the host's name",
    "apprise_not_installed": "pip install 'driftbell[apprise]'",
}
"""What to do where a channel refuses, by the reason."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report."""

    name: str
    verdict: Verdict
    text: str


def installation(config: Config) -> Iterator[Check]:
    """The configuration, the folder and the ports."""
    missing = missing_secrets(config)
    for text in missing:
        yield Check("secrets", "bad", text)
    if not missing:
        yield Check("secrets", "good", "every secret that the configuration names is there")
    yield _disk(config)
    running = _running(config.listen.http)
    for name, address in (("http", config.listen.http), ("grpc", config.listen.grpc)):
        if address is not None:
            yield _port(name, address, running)
    known = len(config.prices)
    public = "the public price list stands behind them" if config.public_prices else "and no public price list"
    yield Check("prices", "good", f"{known} models priced in the configuration; {public}")


def _disk(config: Config) -> Check:
    folder = config.data_dir if config.data_dir.exists() else config.data_dir.resolve().parent
    if not folder.exists():
        return Check("disk", "bad", f"{folder} does not exist: choose another --data-dir")
    free = shutil.disk_usage(folder).free
    text = f"{free / 1e9:.1f} GB free in {folder}"
    return Check("disk", "good" if free > ENOUGH_DISK else "bad", text)


def _running(address: str) -> bool:
    """Whether a driftbell answers at ``address``."""
    try:
        return requests.get(f"http://{address}/healthz", timeout=2).text.strip() == "alive"
    except requests.RequestException:
        return False


def _port(name: str, address: str, running: bool) -> Check:
    host, port = parse_address(address)
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if running:
                return Check(name, "good", f"{address}: driftbell is running there")
            return Check(name, "bad", f"{address}: {error.strerror}; choose another with --{name}")
    return Check(name, "good", f"{address} is free")


def shared_store(config: Config) -> Iterator[Check]:
    """Whether the ClickHouse that a configuration names answers, without making anything there."""
    if config.store is None:
        return
    try:
        password = "" if config.store_password is None else resolve(config.store_password)
        client = connect(config.store, password, create=False)
        try:
            there = client.query("SELECT count() FROM system.databases WHERE name = currentDatabase()")[0][0]
        finally:
            client.close()
    except SecretMissingError:
        return  # told among the secrets
    except StoreUnavailableError as error:
        if NO_DATABASE not in str(error):
            yield Check("clickhouse", "bad", str(error))
            return
        there = 0
    place = config.store.rpartition("@")[2].partition("?")[0]
    yield Check("clickhouse", "good", f"{place} answers" + ("" if there else "; driftbell serve makes the database"))


def data(store: Store, now: float) -> Iterator[Check]:
    """The store itself, the clock and how far the telemetry of the last day can be trusted."""
    state = store.integrity()
    yield Check("store", "good" if state == "ok" else "bad", f"{store.path}: {state}")
    workflows = store.workflows()
    if not workflows:
        yield Check("telemetry", "note", "no call was received yet")
        return
    yield from _clock(store, now)
    yield from _trust(store, now)


def _clock(store: Store, now: float) -> Iterator[Check]:
    """Whether calls are dated as they can be; they are counted on the day that they name all the same."""
    future, past = store.count_calls(since=now + AHEAD), store.count_calls(until=now - LONG_AGO)
    if future:
        ahead = {point.service for point in store.trust(now - DAY, now + DAY) if point.counters.get("ahead")}
        sent = f", sent by {', '.join(sorted(ahead)[:5])}" if ahead else ""
        yield Check("clock", "bad", f"{future:,} calls end in the future{sent}: set the clocks there by NTP")
    if past:
        text = f"{past:,} calls are more than two years old: imported, or is a time given in another unit?"
        yield Check("clock", "note", text)
    if not future and not past:
        yield Check("clock", "good", "no call from the future, none from long ago")


def _trust(store: Store, now: float) -> Iterator[Check]:
    sums: dict[str, dict[str, float]] = {}
    for point in store.trust(now - DAY, now + DAY):
        total = sums.setdefault(point.service, {})
        total["offered"] = sum(point.counters.get(of, 0) for of in ("received", "rejected")) + total.get("offered", 0)
        for counter, amount in point.counters.items():
            total[counter] = total.get(counter, 0) + amount
    if not sums:
        yield Check("telemetry", "note", "nothing was received in the last day")
    for service, total in sorted(sums.items()):
        found = [(name, "offered", "spans", text) for name, text in WORTH_A_WORD.items()]
        found += [(name, "calls", "calls", text) for name, text in OF_CALLS.items()]
        lines = [
            f"{total[name] / max(total.get(of, 0), 1):.0%} of the {what} {text}"
            for name, of, what, text in found
            if total.get(name, 0) > WORTH_TELLING * max(total.get(of, 0), 1)
        ]
        text = "; ".join(lines) or f"{total.get('calls', 0):,.0f} calls in the last day, nothing missing"
        yield Check("telemetry", "note" if lines else "good", f"{service}: {text}")


def channels(built: Channels, send: bool, now: float) -> Iterator[Check]:
    """The channels; with ``send``, each one is sent a test message."""
    if not built.by_name:
        yield Check("channels", "note", "none is configured: incidents stay in the store and on the command line")
    for name in built.by_name:
        if not send:
            yield Check("channels", "good", f"{name} is configured; --send-test proves it")
            continue
        try:
            send_test(built, name, now)
        except SecretMissingError as error:
            yield Check("channels", "bad", f"{name} did not take the test message: {error}")
        except DeliveryError as error:
            hint = REMEDIES.get(error.reason, "see what its server logs")
            why = error.reason.replace("_", " ")
            yield Check("channels", "bad", f"{name} did not take the test message ({why}): {hint}")
        else:
            yield Check("channels", "good", f"{name} took the test message; see whether it arrived")


def links(settings: Links) -> Iterator[Check]:
    """The links in messages: whether they lead anywhere, and whether acting by them needs a login."""
    if settings.page_url is None:
        yield Check("links", "note", "alerts.links.page_url is not set: messages hold no link to act by")
    elif settings.key is None:
        yield Check("links", "note", "alerts.links.key is not set: links in messages need the service's own login")
    else:
        try:
            link_key(settings.key)
        except SecretMissingError as error:
            yield Check("links", "bad", f"alerts.links.key: {error}")
        else:
            yield Check("links", "good", "links in messages are signed")


def exists(config: Config) -> bool:
    """Whether there is a store to look at."""
    return (config.data_dir / FILE).exists()
