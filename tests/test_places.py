import subprocess
import sys

import pytest

from heygemd import places
from heygemd.errors import SetupError
from heygemd.jobs.roots import Root
from heygemd.settings import Settings


def test_a_second_holder_is_refused_and_told_who_holds(tmp_path):
    lock = tmp_path / "lock"
    code = f"from heygemd import places; from pathlib import Path\nwith places.locked(Path({str(lock)!r})): print('in')"
    with places.locked(lock):
        assert "pid" in (places.holder_of(lock) or "")
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert other.returncode != 0
        assert "E404" not in other.stdout
        assert "is in use by host" in other.stderr
    assert places.holder_of(lock) is None
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "in\n"


def test_the_state_directory_is_the_setting_then_systemds_then_one_per_root(tmp_path, monkeypatch):
    root = Root(tmp_path / "root", "some-uuid")
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert places.state_dir(Settings(), (root,)) == tmp_path / "xdg/heygemd/some-uuid"
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "unit"))
    assert places.state_dir(Settings(), (root,)) == tmp_path / "unit"
    assert places.state_dir(Settings(state_dir=tmp_path / "own"), (root,)) == tmp_path / "own"


def test_a_folder_that_cannot_be_made_is_a_setup_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(SetupError) as caught:
        places.make_private(tmp_path / "file" / "state")
    assert caught.value.code == "E401"
