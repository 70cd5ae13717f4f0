"""Somebody with a browser, and a service with calls and an incident to look at."""

from dataclasses import dataclass, replace

import requests
from running_service import CALL, NOW, Running

from driftbell.alerts.incident import apply
from driftbell.alerts.settings import AlertSettings
from driftbell.collectors.call import Source
from driftbell.detectors.finding import Cause, Finding

HOSTILE = "<img src=x onerror=alert(1)>\"'&\u202egnitset\u2066 " + "x" * 300
"""Markup, quotes, text that turns the direction round, and more of it than fits anywhere."""


@dataclass
class Reader:
    """Somebody with a browser: keeps cookies and says where forms come from."""

    running: Running
    session: requests.Session

    def get(self, path: str, **options) -> requests.Response:
        return self.session.get(self.running.url + path, timeout=10, **options)

    def post(self, path: str, origin: str | None = None, **fields) -> requests.Response:
        headers = {"Origin": self.running.url if origin is None else origin}
        return self.session.post(
            self.running.url + path, data=fields, headers=headers, timeout=10, allow_redirects=False
        )

    def form_token(self, path: str) -> str:
        """The token of the forms on a page."""
        text = self.get(path).text
        return text.partition('name="form_token" value="')[2].partition('"')[0]


def fill(running: Running, **headers: str) -> None:
    """Thirty hours of calls: two segments, documents, prompts, one failure an hour."""
    calls = []
    for hour in range(30):
        for i in range(12):
            calls.append(
                replace(
                    CALL,
                    ts=NOW - 3600 * hour - 3500 + 60 * i,
                    segment="amer" if i % 2 else "emea",
                    risk_tier="high",
                    owner="team-a",
                    prompt_version="v2" if hour < 5 else "v1",
                    status="error" if i == 11 else "ok",
                    sources=(Source(f"doc-{i}", 0.8, 3.0),) if i % 3 else (),
                    user_id=f"user-{i % 4}",
                    input_tokens=1000,
                )
            )
    assert running.send(*calls, **headers).ok
    running.service.store.refresh_all()
    running.time[0] += 60  # the snapshot of the overview is of before


def opened(running: Running, **given) -> str:
    """The id of a new cost incident of `triage` since an hour ago."""
    finding = Finding(
        NOW - 60, "fired", "triage", "cost", "cost_per_call", 1, "usd", segment="amer", observed=0.03, usual=0.01,
        n=10, started_at=NOW - 3600, usd_per_hour=2.5,
        cause=Cause({"segment": "amer"}, "likely", 1.0, "Input tokens in amer trebled.", ruled_out=("model", "price")),
    )  # fmt: skip
    with running.service.store.write() as tx:
        (change,) = apply(tx, [replace(finding, **given)], NOW, AlertSettings())
    return change.incident.id
