"""What this machine lacks is skipped; `HEYGEMD_REQUIRE` turns such skips into failures."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = """
import os
import pytest

@pytest.mark.media
def test_by_marker():
    pass

@pytest.mark.media
def test_by_hand():
    pytest.skip("the folder is empty")

def test_settings_of_the_developer_are_gone():
    assert "HEYGEMD_LOG_LEVEL" not in os.environ
"""


@pytest.fixture
def pytest_in(tmp_path: Path, repository: Path):
    checkout = tmp_path / "checkout"
    (checkout / "tests").mkdir(parents=True)
    shutil.copy(repository / "pyproject.toml", checkout)
    shutil.copy(repository / "tests" / "conftest.py", checkout / "tests")
    (checkout / "tests" / "test_planted.py").write_text(TESTS, encoding="utf-8")

    def run(require: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"],
            cwd=checkout,
            env=os.environ | {"HEYGEMD_REQUIRE": require, "HEYGEMD_LOG_LEVEL": "debug"} | environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    return run


def test_what_is_missing_is_skipped(pytest_in) -> None:
    run = pytest_in("")
    assert run.returncode == 0, run.stdout
    assert "1 passed, 2 skipped" in run.stdout


def test_required_but_missing_fails(pytest_in) -> None:
    run = pytest_in("media")
    assert run.returncode == 1
    assert "1 passed, 2 errors" in run.stdout
    assert "HEYGEMD_REQUIRE names media" in run.stdout


def test_required_and_there_but_skipped_by_hand_fails(pytest_in, tmp_path: Path) -> None:
    (tmp_path / "shared" / "media").mkdir(parents=True)
    assert "2 passed, 1 skipped" in pytest_in("").stdout
    run = pytest_in("media")
    assert run.returncode == 1
    assert "1 failed, 2 passed" in run.stdout


def test_unknown_requirement_is_refused(pytest_in) -> None:
    run = pytest_in("gpus")
    assert run.returncode == pytest.ExitCode.USAGE_ERROR
    assert "unknown gpus" in run.stdout + run.stderr


TOOLS = """
import pytest

@pytest.mark.{need}
def test_of_a_tool():
    pass
"""


@pytest.mark.parametrize("need", ["samba", "browser", "mounts"])
def test_a_machine_without_the_tool_skips_its_tests_unless_it_is_required(pytest_in, tmp_path: Path, need: str) -> None:
    (tmp_path / "checkout" / "tests" / "test_planted.py").write_text(TOOLS.format(need=need), encoding="utf-8")
    assert "1 skipped" in pytest_in("", PATH=str(tmp_path)).stdout
    run = pytest_in(need, PATH=str(tmp_path))
    assert run.returncode == 1
    assert f"HEYGEMD_REQUIRE names {need}" in run.stdout


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs the tool itself")
def test_a_browser_counts_only_when_it_starts(pytest_in, tmp_path: Path) -> None:
    (tmp_path / "checkout" / "tests" / "test_planted.py").write_text(TOOLS.format(need="browser"), encoding="utf-8")
    assert "1 passed" in pytest_in("").stdout
    wrapper = tmp_path / "bin" / "chromium"
    wrapper.parent.mkdir()
    wrapper.write_text("#!/bin/sh\necho 'Command requires the chromium snap' >&2; exit 1\n", encoding="utf-8")
    wrapper.chmod(0o755)
    assert "1 skipped" in pytest_in("", PATH=str(wrapper.parent)).stdout
