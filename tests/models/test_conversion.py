"""A converted file appears whole, or not at all, whatever becomes of the process that makes it."""

import json
import os
import sys
from pathlib import Path

import pytest

from heygemd.errors import ResourceError, SetupError
from heygemd.models import conversion
from heygemd.models.conversion import convert, place_for
from heygemd.render.wav2lip.untrained import save_published, untrained_network

DONE = json.dumps(
    {"container": "safetensors", "source_sha256": "0" * 64, "source_bytes": 1, "sha256": "1" * 64, "size_bytes": 4,
     "tensors": 352, "half_tensors": 0}
)  # fmt: skip
PREAMBLE = """
import argparse, os, signal, sys, time
parser = argparse.ArgumentParser()
for name in ("--source-fd", "--output-fd"): parser.add_argument(name, type=int)
parser.add_argument("--name"); parser.add_argument("--half", action="store_true")
args = parser.parse_args()
"""


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch):
    """Put a small script in the place of the real process."""

    def act(script: str) -> None:
        monkeypatch.setattr(conversion, "COMMAND", (sys.executable, "-c", PREAMBLE + script))

    return act


@pytest.fixture
def source(tmp_path: Path) -> Path:
    (tmp_path / "own.pth").write_bytes(b"\x80 something")
    return tmp_path / "own.pth"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_the_answer_and_the_file_are_taken_over(child, source: Path, tmp_path: Path) -> None:
    child(f"os.write(args.output_fd, os.read(args.source_fd, 4)); print('''{DONE}''')")
    target = tmp_path / "models" / "out.safetensors"
    made = convert(source, target)
    assert target.read_bytes() == b"\x80 so"
    assert (made.path, made.tensors, made.is_listed) == (target, 352, False)
    assert names(target.parent) == {"out.safetensors"}
    assert target.stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("script", "kind", "code"),
    [
        ('print(\'{"error": {"code": "E405", "message": "other network"}}\'); sys.exit(1)', SetupError, "E405"),
        ("os.kill(os.getpid(), signal.SIGKILL)", ResourceError, "E303"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", SetupError, "E405"),
        ("sys.exit('boom')", SetupError, "E405"),
        ("print('nonsense')", SetupError, "E405"),
        ("time.sleep(30)", SetupError, "E405"),
    ],
)
def test_a_process_that_fails_leaves_nothing(child, source: Path, script: str, kind, code) -> None:
    child("os.write(args.output_fd, b'half');" + script)
    target = source.parent / "models" / "out.safetensors"
    with pytest.raises(kind) as refused:
        convert(source, target, wall_s=1.0 if "sleep" in script else 30.0)
    assert refused.value.code == code
    assert names(target.parent) == set()


def test_what_is_there_stays_unless_told_otherwise(child, source: Path, tmp_path: Path) -> None:
    child(f"os.write(args.output_fd, b'new'); print('''{DONE}''')")
    target = tmp_path / "out.safetensors"
    target.write_bytes(b"old")
    with pytest.raises(SetupError) as refused:
        convert(source, target)
    assert refused.value.code == "E409"
    assert target.read_bytes() == b"old"
    convert(source, target, replace=True)
    assert target.read_bytes() == b"new"


def test_sources_that_are_none_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for source, code in ((tmp_path / "none", "E402"), (tmp_path / "fifo", "E405"), (tmp_path, "E405")):
        with pytest.raises(SetupError) as refused:
            convert(source, tmp_path / "out.safetensors")
        assert refused.value.code == code


def test_known_files_go_to_the_models_and_others_stay_where_they_are(tmp_path: Path) -> None:
    models, home = tmp_path / "models", tmp_path / "home"
    assert place_for(home / "wav2lip_gan.pth", models) == models / "wav2lip_gan.safetensors"
    assert place_for(home / "Wav2Lip-SD-GAN.pt", models) == models / "wav2lip_gan.safetensors"
    assert place_for(home / "Wav2Lip-SD-NOGAN.pt", models) == models / "wav2lip.safetensors"
    assert place_for(home / "step_100.pth", models) == home / "step_100.safetensors"


SYSTEM_PYTHON = Path("/usr/bin/python3")
"""Other users may run it; the interpreter of this test may lie in a folder of root."""


@pytest.mark.skipif(os.geteuid() != 0 or not SYSTEM_PYTHON.exists(), reason="only root can do as another user")
def test_root_reads_strangers_files_with_the_rights_of_the_folders_owner(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "models"
    folder.mkdir()
    os.chown(folder, 65534, 65534)
    source.chmod(0o600)
    script = (
        PREAMBLE + f"os.write(args.output_fd, f'{{os.getresuid()}} {{os.getgroups()}}'.encode()); print('''{DONE}''')"
    )
    monkeypatch.setattr(conversion, "COMMAND", (str(SYSTEM_PYTHON), "-c", script))
    made = convert(source, folder / "out.safetensors")
    assert made.path.read_text() == "(65534, 65534, 65534) []"
    assert made.path.stat().st_uid == 65534


def test_the_real_process_converts_a_real_file(tmp_path: Path) -> None:
    source, target = tmp_path / "wav2lip_gan.pth", tmp_path / "models" / "wav2lip_gan.safetensors"
    save_published(untrained_network().state_dict(), source)
    made = convert(source, target, half=True)
    assert made.tensors == 352
    assert target.stat().st_size == made.size_bytes < 73_000_000
    source.unlink()
    target.unlink()
