import hashlib

import pytest

from tests.share.premises import open_premises


@pytest.fixture(scope="session")
def premises(tmp_path_factory):
    """One server and one daemon for all tests here; every test uses names of its own.

    Bert's share sets files aside in full (`strict allocate`): there, a file whose size was set first has no holes.
    """
    with open_premises(tmp_path_factory.mktemp("share"), {"anna": "", "bert": "strict allocate = yes"}) as premises:
        yield premises


@pytest.fixture
def anna(premises):
    return premises.people["anna"]


@pytest.fixture
def bert(premises):
    return premises.people["bert"]


@pytest.fixture
def people(anna, bert):
    return anna, bert


@pytest.fixture(scope="session")
def sums():
    """A function: the sha256 of both files of a pair."""
    return lambda pair: (hashlib.sha256(pair.video).hexdigest(), hashlib.sha256(pair.audio).hexdigest())
