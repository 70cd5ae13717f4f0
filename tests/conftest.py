"""A run that allows no skip: with DRIFTBELL_NO_SKIP=1 a test that cannot run is a failure that says why."""

import os

import pytest

NO_SKIP = os.environ.get("DRIFTBELL_NO_SKIP") == "1"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    _forbid_skip(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector):
    report = yield
    _forbid_skip(report)
    return report


def _forbid_skip(report) -> None:
    if NO_SKIP and report.outcome == "skipped" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped where no skip is allowed: {report.longrepr[2]}"
