"""OpenVINO paints what torch paints, and is kept from calling home."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

from heygemd.errors import SetupError
from heygemd.render.wav2lip import openvinonetwork
from heygemd.render.wav2lip.openvinonetwork import OpenVinoNetwork, installed_version, is_installed
from heygemd.render.wav2lip.torchnetwork import TorchNetwork
from tests.render.wav2lip_rig import folded, off_by, some_faces

needs_openvino = pytest.mark.skipif(importlib.util.find_spec("openvino") is None, reason="the extra is not installed")


@pytest.fixture(scope="module")
def network():
    return folded()


@pytest.fixture(scope="module")
def expected(network):
    return TorchNetwork(network, torch.float32).paint(*map(torch.from_numpy, some_faces(2))).numpy()


@needs_openvino
def test_float32_paints_the_same(network, expected):
    made = OpenVinoNetwork(network, "float32", count=2, threads=1)
    painted = made.paint(*some_faces(2))
    assert (made.dtype, painted.dtype, painted.shape) == ("float32", np.float32, (2, 48, 96, 3))
    assert painted.flags.c_contiguous
    assert np.abs(painted - expected).max() < 0.05


@needs_openvino
def test_what_was_painted_stays_when_others_are_painted(network):
    made = OpenVinoNetwork(network, "float32", count=2, threads=1)
    first = made.paint(*some_faces(2))
    kept = first.copy()
    assert not np.array_equal(made.paint(*some_faces(2, seed=6)), kept)
    assert np.array_equal(first, kept)
    assert np.array_equal(made.paint(*some_faces(2)), kept)


@needs_openvino
def test_bfloat16_is_near_and_its_picture_is_not_quantised(network, expected):
    made = OpenVinoNetwork(network, "bfloat16", count=2, threads=1)
    if made.dtype != "bfloat16":
        pytest.skip("this processor has no instructions for it")
    levels = made.paint(*some_faces(2)) / 255
    assert 0.5 < off_by(levels * 255, expected) < 5
    assert not np.array_equal(levels, torch.from_numpy(levels).bfloat16().float().numpy())


IMPORT = """
import sys
from heygemd.render.wav2lip import openvinonetwork as ours
assert "openvino" not in sys.modules, "nothing is loaded before it is asked for"
made = ours._load("openvino")
loaded = [name for name in sys.modules if "telemetry" in name or name.startswith("openvino.tools")]
assert made.Core().available_devices and not loaded, loaded
import threading
assert threading.active_count() == 1
"""


@needs_openvino
def test_its_import_sends_nothing_home_and_writes_nothing(tmp_path):
    """With an empty home it would take silence for consent, make an identity there, and report the import."""
    environment = {name: value for name, value in os.environ.items() if name not in {"CI", "TF_BUILD", "JENKINS_URL"}}
    environment |= {"HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", IMPORT], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == []


def test_without_it_its_choice_is_a_fault_of_the_setup(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(SetupError) as refused:
        openvinonetwork._load("openvino")
    assert (refused.value.code, "heygemd[openvino]" in refused.value.message) == ("E401", True)


def test_whether_it_is_installed_is_told_without_loading_it(monkeypatch):
    monkeypatch.setattr(openvinonetwork.importlib.util, "find_spec", lambda name: None)
    assert not is_installed()
    monkeypatch.setattr(openvinonetwork.importlib.metadata, "version", lambda name: "1.2")
    assert installed_version() == "1.2"
