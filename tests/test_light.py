"""The daemon stays small because its process never loads the pixel stack; import-linter misses some ways in."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = {"torch", "cv2", "numpy", "librosa", "scipy", "face_alignment", "numba", "sklearn", "safetensors", "skimage"}
PIXELS = ("heygemd.render", "heygemd.media", "heygemd.__main__")
"""Not imported by the second test: `render` is heavy by nature, `media` is reached through the rooms that use it."""

LOOK = """
import importlib, json, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules})))
"""


def loaded_by(*modules: str) -> set[str]:
    run = subprocess.run(
        [sys.executable, "-c", LOOK, *modules], capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return set(json.loads(run.stdout))


def modules_of(package: Path) -> list[str]:
    names = (".".join(file.relative_to(package.parent).with_suffix("").parts) for file in package.rglob("*.py"))
    return sorted(name.removesuffix(".__init__") for name in names)


def test_command_line_import_is_light() -> None:
    assert loaded_by("heygemd.cli") & HEAVY == set()


def test_every_module_outside_render_is_light(repository: Path) -> None:
    modules = [name for name in modules_of(repository / "heygemd") if not name.startswith(PIXELS)]
    assert "heygemd.daemon.loop" in modules
    assert loaded_by(*modules) & HEAVY == set()


@pytest.mark.parametrize("module", ["heygemd.render.engine", "heygemd.media.frames"])
def test_the_look_itself_sees_a_heavy_import(module: str) -> None:
    assert "numpy" in loaded_by(module)
