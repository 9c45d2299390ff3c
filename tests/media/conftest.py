"""Small films and sounds, made by ffmpeg's own generators once per session."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from heygemd.limits import Limits

Make = Callable[..., Path]


@pytest.fixture(scope="session")
def limits() -> Limits:
    return Limits(stall_s=20, probe_wall_s=20)


@pytest.fixture(scope="session")
def make(tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Return a function that runs `ffmpeg ARGS NAME` the first time NAME is asked for, and gives the path."""
    folder = tmp_path_factory.mktemp("media")

    def made(name: str, *args: str) -> Path:
        path = folder / name
        if not path.exists():
            words = [word.replace("{dir}", str(folder)) for word in args]
            subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *words, str(path)], check=True)
        return path

    return made


@pytest.fixture(scope="session")
def film(make: Make) -> Callable[..., Path]:
    """Return a function that makes a moving test picture: `film(name, encoder options, size=, rate=, seconds=)`."""

    def made(name: str, *args: str, size: str = "128x72", rate: str = "25", seconds: float = 4) -> Path:
        return make(name, "-f", "lavfi", "-i", f"testsrc2=s={size}:r={rate}:d={seconds}", *args)

    return made


@pytest.fixture(scope="session")
def voice(make: Make) -> Callable[..., Path]:
    """Return a function that makes a sweeping tone: `voice(name, encoder options, rate_hz=, seconds=)`."""

    def made(name: str, *args: str, rate_hz: int = 44100, seconds: float = 5, channels: int = 1) -> Path:
        tone = f"aevalsrc={'|'.join(['0.3*sin(2*PI*(200+150*t)*t)'] * channels)}:s={rate_hz}:d={seconds}"
        return make(name, "-f", "lavfi", "-i", tone, *args)

    return made
