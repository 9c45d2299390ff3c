"""Every test of this folder is run by a pytest of its own inside a private mount namespace; its outcome counts.

The outer pytest only starts the inner one. Nothing is ever mounted where other processes can see it.
"""

import os
import subprocess
import sys

import pytest

from tests.mounts.namespace import INSIDE, UNSHARE, can_mount
from tests.mounts.rig import Goods, Share, Studio, make_goods

LIMIT_S = 60.0
"""For one test; most take five seconds."""
GOODS = "GOODS_FOLDER"


def pytest_runtest_setup(item):
    if not can_mount():
        pytest.skip("needs mounts: root and a mount namespace")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if INSIDE in os.environ:
        return None
    goods = pyfuncitem._request.getfixturevalue("goods")
    argv = [*UNSHARE, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header", pyfuncitem.nodeid]
    environment = {**os.environ, INSIDE: "1", GOODS: str(goods.folder)}
    child = subprocess.Popen(
        argv, cwd=pyfuncitem.config.rootpath, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        pytest.fail(f"no end after {LIMIT_S:.0f} s\n{output}", pytrace=False)
    if "1 skipped" in output:
        pytest.skip("skipped inside: " + output.strip().splitlines()[-1])
    if child.returncode != 0:
        pytest.fail(output, pytrace=False)
    return True


@pytest.fixture(scope="session")
def goods(tmp_path_factory):
    """One small pair, made once."""
    if GOODS in os.environ:
        return Goods(os.environ[GOODS])
    return make_goods(tmp_path_factory.mktemp("goods"))


@pytest.fixture
def share(tmp_path):
    """A root on a file system of its own, mounted."""
    if INSIDE not in os.environ:
        return None
    share = Share.make(tmp_path / "share")
    share.init_root()
    return share


@pytest.fixture
def studio(tmp_path, share, goods):
    """A daemon to be started on the share; it is killed at the end, and its log printed."""
    if INSIDE not in os.environ:
        yield None
        return
    studio = Studio(tmp_path, goods, roots=[share])
    yield studio
    studio.end()
