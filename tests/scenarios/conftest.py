"""Fixtures of the scenarios."""

import pytest
from running_service import services


@pytest.fixture
def serve(tmp_path):
    """Start services on free ports; all are stopped at the end of the test."""
    with services(tmp_path) as start:
        yield start
