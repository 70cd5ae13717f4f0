"""The weekly part of the configuration refuses what could never work."""

import pytest
from pydantic import ValidationError

from driftbell.alerts.weekly.settings import Recipient, WeeklySettings


def test_an_empty_one_is_valid_and_sends_to_nobody():
    assert WeeklySettings().recipients == ()
    assert WeeklySettings().of("anything").title is None


@pytest.mark.parametrize(
    "bad",
    [
        {"recipient": []},
        {"recipients": [{"name": "a", "zone": "Berlin"}]},
        {"recipients": [{"name": "a", "day": "mon"}]},
        {"recipients": [{"name": "a", "day": 1}]},
        {"recipients": [{"name": "a", "hour": 24}]},
        {"recipients": [{"name": "a\nb"}]},
        {"recipients": [{"name": "a"}, {"name": "a"}]},
        {"recipients": [{"name": "a", "email": ["no address"]}]},
        {"workflows": {"w": {"stop": {"low_use": 1.5}}}},
        {"workflows": {"w": {"budget_per_month": -1}}},
        {"unsubscribe": "javascript:alert(1)"},
        {"page": "ftp://x"},
    ],
)
def test_a_mistake_is_refused(bad):
    with pytest.raises(ValidationError):
        WeeklySettings.model_validate(bad)


def test_recipients_read_what_matches_their_patterns():
    reader = Recipient(name="a", workflows=("claims-*", "policy-search"))
    assert [reader.reads(name) for name in ("claims-x", "policy-search", "policy-x")] == [True, True, False]
