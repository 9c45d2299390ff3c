"""A machine for each file of this folder, booted in half a second; heygemd is installed in it, and not started."""

from pathlib import Path

import pytest

from tests.pictures import ffmpeg, make_presenter
from tests.systemd.installed import Pair, boot_installed


@pytest.fixture(scope="session")
def pair(tmp_path_factory, script, repository: Path) -> Pair:
    """The demo's presenter for 1.2 s, and two seconds of its voice."""
    folder = tmp_path_factory.mktemp("pair")
    make_presenter(script("demo/make_presenter"), folder / "face.mp4", 30)
    ffmpeg("-i", repository / "scripts/demo/voice_en.flac", "-t", 2, folder / "voice.wav")
    return Pair((folder / "face.mp4").read_bytes(), (folder / "voice.wav").read_bytes())


@pytest.fixture(scope="session")
def long_pair(tmp_path_factory, pair: Pair) -> Pair:
    """The same picture with twice the sound: some seconds of work in many segments."""
    folder = tmp_path_factory.mktemp("long_pair")
    (folder / "voice.wav").write_bytes(pair.sound)
    ffmpeg("-stream_loop", 1, "-i", folder / "voice.wav", folder / "long.wav")
    return Pair(pair.picture, (folder / "long.wav").read_bytes())


@pytest.fixture(scope="module")
def studio(tmp_path_factory, repository: Path):
    with boot_installed(tmp_path_factory.mktemp("machine"), repository) as installed:
        yield installed
