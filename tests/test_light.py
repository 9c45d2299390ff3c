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


IDLE_WORKER = ("heygemd.render.worker", "heygemd.render.wav2lip.engine")
NOT_AT_START = {"numba", "face_alignment", "librosa", "skimage", "sklearn", "scipy", "openvino"}


@pytest.mark.parametrize("engine", ["wav2lip", "passthrough"])
def test_a_worker_loads_nothing_that_only_its_first_task_may_need(engine: str) -> None:
    modules = IDLE_WORKER if engine == "wav2lip" else IDLE_WORKER[:1]
    assert loaded_by(*modules) & NOT_AT_START == set()


def test_a_worker_of_atlas_loads_no_more_of_scipy_than_its_filters() -> None:
    look = LOOK.replace('name.split(".")[0]', "name")
    command = [sys.executable, "-c", look, "heygemd.render.worker", "heygemd.render.atlas.engine"]
    run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    loaded = set(json.loads(run.stdout))
    assert "scipy.ndimage" in loaded
    heavier = {"scipy.signal", "scipy.stats", "scipy.optimize", "scipy.interpolate", *NOT_AT_START} - {"scipy"}
    assert loaded & heavier == set()


def test_garbage_is_collected_again_once_a_worker_was_imported() -> None:
    script = """
import gc, heygemd.render.worker as worker
from heygemd.render.__main__ import start
worker.main = lambda: print(gc.isenabled(), gc.get_freeze_count() > 100_000)
start()
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert run.stdout.split() == ["True", "True"]
