"""The weekly summary put together: the store it reads, the prices it explains costs with, the server it is sent by."""

from collections.abc import Callable

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.channels.email import deliver
from driftbell.alerts.secret import SecretMissingError
from driftbell.alerts.settings import EmailSection
from driftbell.alerts.summary import WeeklyMail, again, trial
from driftbell.alerts.weekly.settings import Recipient
from driftbell.alerts.weekly.source import StoreSource
from driftbell.alerts.weekly.weeks import Week
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


def weekly_mail(store: Store, config: Config, clock: Callable[[], float]) -> WeeklyMail | None:
    """What sends the summaries that are due; None while nobody is to get one by e-mail."""
    if not any(recipient.email for recipient in config.weekly.recipients):
        return None
    server = mail_server(config)
    return WeeklyMail(
        config.weekly, source(store, config), store.write, lambda mail: deliver(mail, server), server.sender, clock
    )


def send_now(store: Store, config: Config, recipient: Recipient, week: Week, to: str | None) -> list[str]:
    """Send one summary at once, whether it is due or not, and return to whom; raises `Failure`.

    One that was frozen for its recipient is sent again as it was; everything else is a trial.
    """
    server = mail_server(config)
    addresses = [to] if to else list(recipient.email)
    if not addresses:
        raise Failure("nobody to send it to: name an address with --to, or a recipient with --recipient")
    frozen = None if to else again(store.read(), config.weekly, recipient, week, server.sender)
    given = source(store, config)
    mails = (
        [frozen]
        if frozen
        else [
            trial(given, config.weekly, recipient, week, server.sender, address, store.clock()) for address in addresses
        ]
    )
    for mail in mails:
        try:
            deliver(mail, server)
        except (DeliveryError, SecretMissingError) as error:
            raise Failure(f"{server.host}:{server.port} did not take the mail to {mail['To']}: {error}") from None
    return addresses
