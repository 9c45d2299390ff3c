"""Every test of this folder is run by a pytest of its own inside a private mount namespace; its outcome counts.

The outer pytest only starts the inner ones, three at a time: they wait more than they work. Nothing is ever mounted
where other processes can see it.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.mounts.namespace import INSIDE, UNSHARE, can_mount
from tests.mounts.rig import Goods, Share, Studio, make_goods

LIMIT_S = 240.0
"""For one test; most take ten seconds, and several times as long while everything else runs beside them."""
RUNNER = """
import faulthandler, os, sys
import pytest

faulthandler.dump_traceback_later({limit_s}, exit=True)
status = pytest.main(sys.argv[1:])
sys.stdout.flush()
sys.stderr.flush()
os._exit(status)
"""
"""The outcome is known when pytest returns: nothing that an interpreter does at its end may hold it up, and one that
does not return shows where it stands."""
AT_ONCE = 3
GOODS = "GOODS_FOLDER"
PLAIN = str.maketrans("[] ", "---")
"""What a folder's name should not have."""
RUNS = pytest.StashKey()


def pytest_runtest_setup(item):
    if not can_mount():
        pytest.skip("needs mounts: root and a mount namespace")


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem):
    if INSIDE in os.environ:
        return None
    stash = pyfuncitem.session.stash
    if pyfuncitem.nodeid not in stash.get(RUNS, {}):
        stash[RUNS] = start_all(pyfuncitem.session, pyfuncitem.funcargs["goods"], pyfuncitem.path)
    status, output = stash[RUNS][pyfuncitem.nodeid].result()
    if "1 skipped" in output:
        pytest.skip("skipped inside: " + output.strip().splitlines()[-1])
    if status != 0:
        pytest.fail(output, pytrace=False)
    return True


def start_all(session, goods, only):
    """Begin with all tests that were chosen from this folder."""
    pool = ThreadPoolExecutor(AT_ONCE)
    session.config.add_cleanup(lambda: pool.shutdown(cancel_futures=True))
    chosen = [item.nodeid for item in session.items if item.get_closest_marker("mounts") and item.path == only]
    return {nodeid: pool.submit(run_inside, nodeid, session.config.rootpath, goods) for nodeid in chosen}


def run_inside(nodeid, repository, goods):
    """Return the exit status and the output of one test in a namespace of its own."""
    runner = RUNNER.format(limit_s=LIMIT_S - 20)
    # Of its own: pytest would clear away what others have left in the usual place.
    place = f"--basetemp={goods.folder}/{nodeid.rpartition('::')[2].translate(PLAIN)}"
    argv = [*UNSHARE, sys.executable, "-c", runner, "-q", "-p", "no:cacheprovider", "--no-header", place, nodeid]
    environment = {**os.environ, INSIDE: "1", GOODS: str(goods.folder)}
    child = subprocess.Popen(
        argv, cwd=repository, env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    try:
        output, _ = child.communicate(timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        child.kill()
        output, _ = child.communicate()
        return 1, f"no end after {LIMIT_S:.0f} s\n{output}"
    return child.returncode, output


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
