from collections.abc import Iterator
from pathlib import Path

import pytest

from heygemd.outbox.status import Snapshot, write_status
from tests.outbox.browser.chromium import Chromium, Tab, find_chromium


@pytest.fixture(scope="session")
def browser(tmp_path_factory) -> Iterator[Chromium]:
    if find_chromium() is None:
        pytest.skip("needs browser")
    with Chromium(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


@pytest.fixture
def tab(browser) -> Iterator[Tab]:
    tab = Tab(browser)
    tab.read_as()
    yield tab
    tab.close()


@pytest.fixture
def share(tmp_path) -> Path:
    """A root of which only what the page links to is there."""
    share = tmp_path / "studio share"
    for name in ("inbox", "outbox", "failed", "status"):
        (share / name).mkdir(parents=True)
    return share


@pytest.fixture
def show(share, tab):
    """A function that writes the status and opens the page."""

    def open_page(told: Snapshot, tail: str = "") -> Tab:
        write_status(share / "status", told)
        tab.open(share / "status" / "index.html", tail)
        return tab

    return open_page
