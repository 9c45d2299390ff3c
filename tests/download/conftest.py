"""A server that misbehaves, and transfers from it into a folder of the test."""

import os
from pathlib import Path

import pytest

from heygemd.download.transfer import Manner, Transfer, Wanted
from heygemd.errors import SetupError
from tests import webserver

HASTY = Manner(connect_s=2, read_s=0.3, tries=3)
PIECE = 131072


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)


@pytest.fixture
def web():
    with webserver.running() as web:
        yield web


class Fetching:
    """A part in a folder, and transfers into it."""

    def __init__(self, folder: Path, web) -> None:
        self.part = folder / "model.part"
        self.bookmark = folder / "model.part.json"
        self.web = web
        self.rests = []
        self.heard = []
        self.now_s = 0.0

    def __call__(self, url=None, *, manner=HASTY, most_bytes=10_000_000, listed=True, **wanted):
        if listed:
            wanted = {"sha256": self.web.sha256, "size_bytes": len(self.web.content), **wanted}
        fd = os.open(self.part, os.O_RDWR | os.O_CREAT)
        self.transfer = Transfer(
            Wanted(url=url or self.web.url(), most_bytes=most_bytes, **wanted),
            fd, self.bookmark, manner=manner, rest=self.rests.append, clock=lambda: self.now_s,
            heard=lambda done, total: self.heard.append((done, total)),
        )  # fmt: skip
        try:
            return self.transfer.fetch()
        finally:
            os.close(fd)

    def refusal(self, *args, **how) -> SetupError:
        with pytest.raises(SetupError) as refused:
            self(*args, **how)
        return refused.value


@pytest.fixture
def fetch(tmp_path, web):
    return Fetching(tmp_path, web)
