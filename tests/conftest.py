"""Shared by all tests: skips for what a machine lacks, and `HEYGEMD_REQUIRE`, which turns such skips into failures."""

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Generator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

# The small networks and pictures of the tests gain nothing from threads that wait for each other in a busy loop.
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).resolve().parents[1]
SHARED_MEDIA = (ROOT.parent / "shared" / "media").resolve()
"""It may lie behind a link, which the door to strangers' files does not go through."""


@cache
def _has_ffmpeg() -> bool:
    return all(shutil.which(tool) for tool in ("ffmpeg", "ffprobe"))


@cache
def _has_gpu() -> bool:
    return Path("/dev/nvidiactl").exists()


@cache
def _has_media() -> bool:
    return SHARED_MEDIA.is_dir()


@cache
def _has_samba() -> bool:
    """smbd takes the rights of the files' owner: only root may start it. It lies where users do not look."""
    path = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    return os.geteuid() == 0 and all(shutil.which(tool, path=path) for tool in ("smbd", "smbpasswd", "smbclient"))


@cache
def _has_browser() -> bool:
    """One that starts: Ubuntu's chromium-browser may be a script that only asks for a snap."""
    found = filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    return any(_succeeds(name, "--version") for name in found)


@cache
def _has_mounts() -> bool:
    """A container often lets even root mount nothing, so it is tried, in a namespace that ends with the trial."""
    return _succeeds("unshare", "--mount", "--propagation", "private", "sh", "-c", "mount -t tmpfs none /mnt")


@cache
def _has_systemd() -> bool:
    """Root, systemd's programs, and a kernel that lets us boot them in namespaces."""
    from tests.systemd.rig import can_boot

    return can_boot()


@cache
def _has_pty() -> bool:
    """A bare chroot has no pseudo terminals."""
    try:
        numbers = os.openpty()
    except OSError:
        return False
    for number in numbers:
        os.close(number)
    return True


@cache
def _has_strace() -> bool:
    """A container may forbid it to trace."""
    return _succeeds("strace", "-o", "/dev/null", "true")


@cache
def _has_promtool() -> bool:
    return shutil.which("promtool") is not None


def _succeeds(*argv: str) -> bool:
    try:
        return subprocess.run(argv, capture_output=True, timeout=10, check=False).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


NEEDS: dict[str, Callable[[], bool]] = {
    "ffmpeg": _has_ffmpeg,
    "gpu": _has_gpu,
    "media": _has_media,
    "samba": _has_samba,
    "browser": _has_browser,
    "mounts": _has_mounts,
    "systemd": _has_systemd,
    "promtool": _has_promtool,
    "pty": _has_pty,
    "strace": _has_strace,
}
"""Marker → is it there? `HEYGEMD_REQUIRE=ffmpeg,gpu` says what must be."""

REQUIRED = frozenset(filter(None, os.environ.get("HEYGEMD_REQUIRE", "").split(",")))


def pytest_configure() -> None:
    """Forget the developer's own settings; refuse a requirement nobody knows."""
    if unknown := REQUIRED - NEEDS.keys():
        raise pytest.UsageError(f"HEYGEMD_REQUIRE: unknown {', '.join(sorted(unknown))}; known: {', '.join(NEEDS)}")
    for name in [name for name in os.environ if name.startswith("HEYGEMD_") and name != "HEYGEMD_REQUIRE"]:
        del os.environ[name]


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test whose marker names something this machine lacks."""
    for need, is_there in NEEDS.items():
        if item.get_closest_marker(need) and not is_there():
            pytest.skip(f"needs {need}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Make a skip a failure when `HEYGEMD_REQUIRE` names what the test is marked with."""
    report = yield
    missed = sorted(need for need in REQUIRED if item.get_closest_marker(need))
    if report.skipped and missed and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but HEYGEMD_REQUIRE names {', '.join(missed)}: {report.longrepr}"
    return report


@pytest.fixture(scope="session")
def shared_media() -> Path:
    """Return the folder of test clips beside the checkout; for tests marked `media`."""
    if not _has_media():
        pytest.skip("needs media")
    return SHARED_MEDIA


@pytest.fixture(scope="session")
def repository() -> Path:
    """Return the root of the checkout."""
    return ROOT


@pytest.fixture(scope="session")
def script() -> Callable[[str], ModuleType]:
    """Return a function that loads `scripts/<name>.py` as a module."""

    @cache
    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(
            f"scripts_{name}".replace("/", "_"), ROOT / "scripts" / f"{name}.py"
        )
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module

    return load
