"""Fixtures of the page's tests."""

import pytest
import requests
from page_reader import Reader, fill
from running_service import Running, services


def reading(running: Running) -> Reader:
    """Somebody at the browser of this machine, and a service with calls."""
    fill(running)
    return Reader(running, requests.Session())


@pytest.fixture
def reader(serve):
    """A service of one's own, to be changed."""
    return reading(serve(prices={"atlas": {"input": 10, "output": 100}}))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """A service that is only looked at."""
    with services(tmp_path_factory.mktemp("page")) as start:
        yield reading(start(prices={"atlas": {"input": 10, "output": 100}}))
