"""A job that fails is told once, counted every time, and tried again."""

import logging

import pytest
from prometheus_client import CollectorRegistry

from driftbell.service.job import Job, JobMetrics


class Work:
    def __init__(self) -> None:
        self.broken = False

    def __call__(self) -> None:
        if self.broken:
            raise RuntimeError("disk on fire")


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


def job(work: Work, registry: CollectorRegistry, now: list[float]) -> Job:
    return Job("evaluation", work, 60.0, JobMetrics(registry), lambda: now[0])


def failures(registry: CollectorRegistry) -> float | None:
    return registry.get_sample_value("driftbell_job_failures_total", {"job": "evaluation"})


def test_a_row_of_failures_is_logged_once_and_counted_each_time(registry, caplog):
    work, now = Work(), [1000.0]
    running = job(work, registry, now)
    work.broken = True
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            running()
    assert failures(registry) == 3
    assert caplog.text.count("evaluation failed") == 1


def test_the_end_of_the_failures_is_told(registry, caplog):
    work, now = Work(), [1000.0]
    running = job(work, registry, now)
    work.broken = True
    running()
    work.broken = False
    running()
    assert "evaluation works again" in caplog.text
    assert not running.failing


def test_a_failing_job_is_stale_at_once_and_fresh_after_its_next_success(registry):
    work, now = Work(), [1000.0]
    running = job(work, registry, now)
    work.broken = True
    running()
    assert running.stale(now[0])
    work.broken = False
    running()
    assert not running.stale(now[0])


def test_a_job_that_does_not_run_any_more_becomes_stale(registry):
    now = [1000.0]
    running = job(Work(), registry, now)
    running()
    assert not running.stale(1000.0 + 3 * 60)
    assert running.stale(1000.0 + 3 * 60 + 61)


def test_the_time_of_the_last_success_is_a_metric(registry):
    now = [1000.0]
    running = job(Work(), registry, now)
    running()
    name = "driftbell_job_last_success_timestamp_seconds"
    assert registry.get_sample_value(name, {"job": "evaluation"}) == 1000.0


def test_a_run_that_the_end_of_the_service_cuts_off_is_no_failure(caplog):
    metrics = JobMetrics(CollectorRegistry())

    def work() -> None:
        raise RuntimeError("the store is closed")

    job = Job("overview", work, 60.0, metrics, lambda: 0.0)
    job.retire()
    job()
    assert not job.failing
    assert not caplog.records
