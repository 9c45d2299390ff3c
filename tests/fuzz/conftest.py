"""The seeds, made once for all processes of a run: forty starts of ffmpeg take their time."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

from tests.fuzz.media import Stock


@pytest.fixture(scope="session")
def stock(tmp_path_factory: pytest.TempPathFactory) -> Stock:
    base = tmp_path_factory.getbasetemp()
    return Stock.of((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "fuzz-seeds")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Thousands of lines of what inboxes say help nobody."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.configure(**before)
