"""Measuring in a process of its own: what it says is believed, and whatever goes wrong with it stops nobody."""

import hashlib
import sys

import pytest
from structlog.testing import capture_logs

from heygemd.render.wav2lip.aside import chosen_aside
from heygemd.render.wav2lip.loading import TORCH, candidates_for
from heygemd.render.wav2lip.untrained import save_stripped
from tests.render.wav2lip_rig import published

SHA256 = "a" * 64


def test_the_real_process_names_a_candidate_and_what_its_batch_took(tmp_path):
    weights = tmp_path / "wav2lip.safetensors"
    save_stripped(published().state_dict(), weights)
    with capture_logs() as logs:
        chosen, batch_cpu_ms = chosen_aside(weights, hashlib.sha256(weights.read_bytes()).hexdigest(), TORCH)
    assert chosen in {candidate.name for candidate in candidates_for(TORCH)}
    assert batch_cpu_ms > 1
    assert [(line["event"], line["chosen"]) for line in logs] == [("wav2lip.backend_calibrated", chosen)]


def test_weights_that_are_not_those_are_named_and_nothing_is_chosen(tmp_path):
    weights = tmp_path / "wav2lip.safetensors"
    weights.write_bytes(b"no weights")
    with capture_logs() as logs:
        assert chosen_aside(weights, SHA256, TORCH) == ("", 0.0)
    assert [line["event"] for line in logs] == ["wav2lip.measuring_failed"]
    assert logs[0]["reason"].startswith("E40")


def saying(text, *, ends=0):
    """A process that says this."""
    program = f"import sys; sys.stdout.write({text!r}); sys.stderr.write('oh'); sys.exit({ends})"
    return sys.executable, "-c", program


def test_what_was_left_out_is_told_before_what_was_chosen(tmp_path):
    said = """{"event": "x", "candidate": "a", "reason": "far off"}
{"event": "y", "chosen": "b", "batch_cpu_ms": {"b": 91.5, "c": 100}}
"""
    with capture_logs() as logs:
        assert chosen_aside(tmp_path, SHA256, TORCH, command=saying(said)) == ("b", 91.5)
    assert [line["event"] for line in logs] == ["wav2lip.candidate_left_out", "wav2lip.backend_calibrated"]
    assert (logs[0]["candidate"], logs[0]["reason"]) == ("a", "far off")


@pytest.mark.parametrize(
    "said", ["", "{", "[]", "null", '{"chosen": "b"}', '{"chosen": "b", "batch_cpu_ms": {"a": 1}}', "\udcff"]
)
def test_what_cannot_be_understood_chooses_nothing(tmp_path, said):
    assert chosen_aside(tmp_path, SHA256, TORCH, command=saying(said)) == ("", 0.0)


def test_a_process_that_fails_or_hangs_or_is_not_there_chooses_nothing(tmp_path):
    good = '{"chosen": "b", "batch_cpu_ms": {"b": 1}}'
    hanging = (sys.executable, "-c", "import time; time.sleep(600)")
    with capture_logs() as logs:
        assert chosen_aside(tmp_path, SHA256, TORCH, command=saying(good, ends=1)) == ("", 0.0)
        assert chosen_aside(tmp_path, SHA256, TORCH, command=hanging, wall_s=0.5) == ("", 0.0)
        assert chosen_aside(tmp_path, SHA256, TORCH, command=(str(tmp_path / "nothing"),)) == ("", 0.0)
    reasons = [line["reason"] for line in logs]
    assert reasons[0] == "oh"
    assert reasons[1].startswith("TimeoutExpired")
    assert "nothing" in reasons[2]
