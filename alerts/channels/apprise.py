"""Everything else, by Apprise (optional: ``pip install driftbell[apprise]``).

Apprise knows neither updates nor resolutions, so each event is a message of its own.
"""

from driftbell.alerts.channels.delivery import DeliveryError
from driftbell.alerts.links import Linker
from driftbell.alerts.message import Message
from driftbell.alerts.plain import no_mentions
from driftbell.alerts.render import as_text, headline
from driftbell.alerts.secret import resolve
from driftbell.alerts.settings import AppriseSection


class AppriseChannel:
    """Sends plain text to one Apprise URL, which is itself the credential."""

    def __init__(self, name: str, section: AppriseSection, zone: str, linker: Linker) -> None:
        self.name, self._section, self._zone, self._linker = name, section, zone, linker

    def send(self, message: Message, ref: dict[str, str]) -> dict[str, str]:
        """Send ``message``; see `Channel.send`."""
        try:
            import apprise
        except ImportError:
            raise DeliveryError("apprise_not_installed", permanent=True) from None
        target = apprise.Apprise()
        if not target.add(resolve(self._section.url)):
            raise DeliveryError("bad_address", permanent=True)
        title, body = headline(message, self._zone), as_text(message, self._zone, self._linker.links(message))
        kind = apprise.NotifyType.SUCCESS if message.is_end else apprise.NotifyType.WARNING
        text = no_mentions(f"{body}\n{message.event_id}")
        if not target.notify(title=no_mentions(title), body=text, notify_type=kind, body_format="text"):
            raise DeliveryError("refused")
        return ref
