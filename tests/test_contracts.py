"""Each import contract must catch a violation planted in a copy of the package, and pass the clean copy."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

LAYERS = "Rooms are layered; siblings do not know each other"
LIGHT = "The control plane never loads the pixel stack"
PURE = "Pure modules do no IO"
DOORS = "Each outside tool has one door"

VIOLATIONS = [
    pytest.param({"outbox/planted.py": "import heygemd.scheduler"}, LAYERS, id="a room imports its sibling"),
    pytest.param({"jobs/planted.py": "import heygemd.media"}, LAYERS, id="a lower room imports a higher one"),
    pytest.param({"shed.py": ""}, LAYERS, id="a room that no layer names"),
    pytest.param({"outbox/planted.py": "import numpy"}, LIGHT, id="a light room imports numpy"),
    pytest.param(
        {"media/planted.py": "import cv2", "intake/planted.py": "import heygemd.media.planted"},
        LIGHT,
        id="a light room reaches cv2 through another",
    ),
    pytest.param({"planning/planted.py": "import os"}, PURE, id="arithmetic looks at the disk"),
    pytest.param({"jobs/states.py": "import time"}, PURE, id="the state table reads a clock"),
    *(
        pytest.param({f"{room}/planted.py": f"import {tool}"}, DOORS, id=f"a second door to {tool}")
        for room, tool in {
            "render": "ffmpeg",
            "outbox": "pynvml",
            "render/faces": "face_alignment",
            "intake": "sqlite3",
            "scheduler": "watchdog",
            "render/speech": "librosa",
        }.items()
    ),
]


@pytest.fixture(scope="module")
def clean_copy(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("contracts")
    shutil.copytree(repository / "heygemd", folder / "heygemd", ignore=shutil.ignore_patterns("__pycache__", "weights"))
    shutil.copy(repository / "pyproject.toml", folder)
    return folder


def lint(folder: Path) -> tuple[int, str, set[str]]:
    """Run lint-imports on the copy; return its status, its words and the broken contracts."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as run; run()"]
    run = subprocess.run(
        [*command, "--no-logo", "--cache-dir", str(folder / "cache")],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(folder), "NO_COLOR": "1", "COLUMNS": "300"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    words = run.stdout + run.stderr
    return run.returncode, words, set(re.findall(r"^(.+) BROKEN", words, re.MULTILINE))


def test_the_clean_copy_keeps_every_contract(clean_copy: Path) -> None:
    status, words, broken = lint(clean_copy)
    assert (status, broken) == (0, set()), words
    assert all(f"{name} KEPT" in words for name in (LAYERS, LIGHT, PURE, DOORS)), words


@pytest.mark.parametrize(("planted", "contract"), VIOLATIONS)
def test_a_planted_violation_breaks_its_contract_and_no_other(
    planted: dict[str, str], contract: str, clean_copy: Path
) -> None:
    before = {name: _text(clean_copy / "heygemd" / name) for name in planted}
    try:
        for name, line in planted.items():
            (clean_copy / "heygemd" / name).write_text((before[name] or "") + line + "\n", encoding="utf-8")
        status, words, broken = lint(clean_copy)
    finally:
        for name, text in before.items():
            file = clean_copy / "heygemd" / name
            file.unlink() if text is None else file.write_text(text, encoding="utf-8")
    assert (status, broken) == (1, {contract}), words


def _text(file: Path) -> str | None:
    return file.read_text(encoding="utf-8") if file.exists() else None
