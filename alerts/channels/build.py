"""From the configuration to the channels it names."""

from driftbell.alerts.channels.delivery import Channel
from driftbell.alerts.channels.email import EmailChannel
from driftbell.alerts.channels.webhook import WebhookChannel
from driftbell.alerts.links import Linker
from driftbell.alerts.outbox import Channels
from driftbell.alerts.settings import AlertSettings, ChannelSection, EmailSection, WebhookSection


def build_channels(settings: AlertSettings) -> Channels:
    """Every configured channel, ready to send; secrets are read when they are used."""
    linker = Linker(settings.links)
    made = {
        name: _build(name, section, section.timezone or settings.timezone, linker)
        for name, section in settings.channels.items()
    }
    return Channels(made, settings)


def _build(name: str, section: ChannelSection, zone: str, linker: Linker) -> Channel:
    match section:
        case WebhookSection():
            return WebhookChannel(name, section, zone, linker)
        case EmailSection():
            return EmailChannel(name, section, zone, linker)
        case _:
            raise TypeError(f"no channel for {type(section).__name__}")
