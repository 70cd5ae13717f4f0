"""From the configuration to the channels it names."""

from driftbell.alerts.channels.alertmanager import AlertmanagerChannel
from driftbell.alerts.channels.apprise import AppriseChannel
from driftbell.alerts.channels.delivery import Channel
from driftbell.alerts.channels.email import EmailChannel
from driftbell.alerts.channels.pagerduty import PagerDutyChannel
from driftbell.alerts.channels.slack import SlackChannel
from driftbell.alerts.channels.teams import TeamsChannel
from driftbell.alerts.channels.webhook import WebhookChannel
from driftbell.alerts.links import Linker
from driftbell.alerts.outbox import Channels
from driftbell.alerts.settings import (
    AlertmanagerSection,
    AlertSettings,
    AnyChannel,
    AppriseSection,
    EmailSection,
    PagerDutySection,
    SlackSection,
    TeamsSection,
    WebhookSection,
)


def build_channels(settings: AlertSettings) -> Channels:
    """Every configured channel, ready to send; secrets are read when they are used."""
    linker = Linker(settings.links)
    made = {name: _build(name, section, linker, settings) for name, section in settings.channels.items()}
    return Channels(made, settings)


def _build(name: str, section: AnyChannel, linker: Linker, settings: AlertSettings) -> Channel:
    zone = section.timezone or settings.timezone
    match section:
        case WebhookSection():
            return WebhookChannel(name, section, zone, linker)
        case EmailSection():
            return EmailChannel(name, section, zone, linker)
        case SlackSection():
            return SlackChannel(name, section, zone, linker)
        case PagerDutySection():
            return PagerDutyChannel(name, section, zone, linker, settings.environment)
        case TeamsSection():
            return TeamsChannel(name, section, zone, linker)
        case AlertmanagerSection():
            return AlertmanagerChannel(name, section, zone, linker, settings.environment)
        case AppriseSection():
            return AppriseChannel(name, section, zone, linker)
