"""The weekly summary put together: the store it reads, the prices it explains costs with, the server it is sent by."""

import difflib
from collections.abc import Callable
from fnmatch import fnmatchcase

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.channels.email import deliver
from driftbell.alerts.secret import SecretMissingError, resolve_url
from driftbell.alerts.settings import EmailSection
from driftbell.alerts.summary import Summary, WeeklyMail, again, trial
from driftbell.alerts.weekly import readers
from driftbell.alerts.weekly.settings import Recipient, WeeklySettings
from driftbell.alerts.weekly.source import StoreSource
from driftbell.collectors.store import Store
from driftbell.detectors.decomposition import UnitPrices
from driftbell.service.config import Config
from driftbell.service.failure import Failure

MILLION = 1e6


def source(store: Store, config: Config) -> StoreSource:
    """Where the numbers of the summaries come from."""
    prices = {
        model: UnitPrices(
            price.input / MILLION,
            price.output / MILLION,
            (price.input if price.cached_input is None else price.cached_input) / MILLION,
        )
        for model, price in config.prices.items()
    }
    return StoreSource(store, prices, config.detectors.false_pages_per_month)


def mail_server(config: Config) -> EmailSection:
    """The first e-mail channel, by which the summaries go; raises `Failure` when none is configured."""
    for section in config.alerts.channels.values():
        if isinstance(section, EmailSection):
            return section
    raise Failure("weekly summaries go by e-mail: add a channel of 'kind: email' under alerts.channels")


def settings(config: Config) -> WeeklySettings:
    """The weekly settings; without a page of their own, the one that the links of alerts lead to."""
    page = config.alerts.links.page_url
    if config.weekly.page is not None or page is None:
        return config.weekly
    try:
        return config.weekly.model_copy(update={"page": resolve_url(page)})
    except SecretMissingError:
        return config.weekly


def weekly_mail(store: Store, config: Config, clock: Callable[[], float]) -> WeeklyMail | None:
    """What sends the summaries that are due; None while nobody is to get one by e-mail."""
    if not any(recipient.email for recipient in config.weekly.recipients):
        return None
    server = mail_server(config)
    return WeeklyMail(
        settings(config), source(store, config), store.write, lambda mail: deliver(mail, server), server.sender, clock
    )


def known_workflow(store: Store, name: str) -> None:
    """Raise `Failure` with the nearest name unless ``name`` (or the pattern) is a workflow of the store."""
    known = [workflow.name for workflow in store.workflows()]
    if any(fnmatchcase(one, name) for one in known):
        return
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known[:10]) or 'none yet'}"
    raise Failure(f"there is no workflow {name!r}; {hint}")


def addresses(store: Store, config: Config, recipient: Recipient, to: str | None) -> list[str]:
    """To whom a summary goes: ``to``, else the recipient's addresses that did not leave; raises `Failure`."""
    if to:
        return [to]
    staying = readers.remaining(store.read(), config.weekly).recipients
    found = next((list(one.email) for one in staying if one.name == recipient.name), [])
    if not found:
        raise Failure("nobody to send it to: name an address with --to, or a recipient with --recipient")
    return found


def send_now(
    store: Store, config: Config, recipient: Recipient, summary: Summary, to: str | None, whole: bool = True
) -> list[str]:
    """Send one summary at once, whether it is due or not, and return to whom; raises `Failure`.

    A ``whole`` one that was frozen for its recipient is sent again as it was; everything else is a trial.
    """
    server = mail_server(config)
    found, week, mails = addresses(store, config, recipient, to), summary.numbers.week, []
    if not to and whole:
        with store.write() as tx:
            mails = again(tx, settings(config), recipient, week, server.sender, store.clock())
    for mail in mails or [trial(summary, server.sender, address, store.clock()) for address in found]:
        try:
            deliver(mail, server)
        except (DeliveryError, SecretMissingError) as error:
            raise Failure(f"{server.host}:{server.port} did not take the mail to {mail['To']}: {error}") from None
    return found
