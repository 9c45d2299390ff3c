"""What the tests of this folder begin with."""

import pytest

from tests.faults.scene import make_template


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """The folder of a template that other processes may read."""
    return make_template(tmp_path_factory.mktemp("template")).folder
