"""An ffmpeg in PATH that takes h264_nvenc for an x264 with a mark on it: NVENC's success where there is no card.

It keeps what it was told, and fails as a card does when it is told to.
"""

import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from heygemd.media.ffmpeg import require_tools

MARK = b"pretended NVENC"
UUID = "086f3693-b7b3-4f2c-9653-21492feee5b8"

SCRIPT = """#!{python} -SE
import json, os, sys

DROPPED = {{"-tune", "-rc", "-b:v", "-spatial-aq", "-forced-idr", "-strict_gop", "-gpu"}}
EXCHANGED = {{"-cq": "-crf", "-preset": "-preset", "-c:v": "-c:v"}}
words, folder = sys.argv[1:], {folder!r}
if "h264_nvenc" in words:
    with open(folder + "/told", "a") as told:
        told.write(json.dumps({{"words": words, "cards": os.environ.get("CUDA_VISIBLE_DEVICES")}}) + "\\n")
    count = sum(1 for _ in open(folder + "/told"))
    plan = json.load(open(folder + "/plan"))
    if count >= plan["fails_from"]:
        sys.stdin.buffer.read(plan["reads_bytes"])
        if plan["kills_itself"]:
            os.kill(os.getpid(), plan["kills_itself"])
        sys.stderr.write("[h264_nvenc @ 0x5] [error] OpenEncodeSessionEx failed: out of memory (10): (no details)\\n")
        sys.stderr.write("[error] Cannot allocate memory\\n")
        sys.exit(1)
    mine, at = [], words.index("-c:v")
    mark = plan["other_sets"] and count % 2 == 0
    while words:
        word = words.pop(0)
        if word in DROPPED:
            words.pop(0)
        elif word == "-cq":
            mine += ["-crf", words.pop(0)]
        elif word == "-preset":
            mine += ["-preset", "ultrafast"]
            words.pop(0)
        elif word == "h264_nvenc":
            mine += ["libx264", "-refs", "2" if mark else "1", "-bsf:v", "h264_metadata=sei_user_data={uuid}+{mark}"]
        else:
            mine.append(word)
    words = mine
os.execv({real!r}, [{real!r}, *words])
"""


@dataclass(frozen=True, slots=True)
class FakeNvenc:
    """What the fake is to do, and what it was told."""

    folder: Path

    def plan(
        self, *, fails_from: int = 1 << 30, reads_bytes: int = 0, kills_itself: int = 0, other_sets: bool = False
    ) -> None:
        """Let every start from the n-th on fail, after so many bytes; let each second one differ."""
        asked = {"fails_from": fails_from, "reads_bytes": reads_bytes, "kills_itself": kills_itself}
        (self.folder / "plan").write_text(json.dumps(asked | {"other_sets": other_sets}))

    @property
    def told(self) -> list[dict]:
        """Every command with NVENC in it, and the cards that it could see."""
        file = self.folder / "told"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def nvenc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Put the fake before the real ffmpeg."""
    folder = tmp_path / "nvenc"
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(
        SCRIPT.format(
            python=sys.executable, folder=str(folder), real=shutil.which("ffmpeg"), uuid=UUID, mark=MARK.decode()
        )
    )
    program.chmod(0o755)
    (folder / "ffprobe").symlink_to(shutil.which("ffprobe"))
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    require_tools.cache_clear()
    fake = FakeNvenc(folder)
    fake.plan()
    yield fake
    require_tools.cache_clear()
