import pytest

from heygemd.intake.roots import init_root
from tests.submitting.rig import JPEG, MP4, WAV


@pytest.fixture
def root(tmp_path):
    return init_root(tmp_path / "root")


@pytest.fixture
def put(tmp_path):
    """A function that lays files into a folder beside the root."""

    def lay(*names):
        paths = []
        for name in names:
            path = tmp_path / "in" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(WAV + name.encode() if name.endswith(".wav") else JPEG if name.endswith(".jpg") else MP4)
            paths.append(path)
        return paths

    return lay
