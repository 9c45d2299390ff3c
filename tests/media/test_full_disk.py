"""A disk that becomes full at any moment of a segment: it is written whole, or said to be unwritten, never half."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.limits import Limits
from heygemd.media.probe import probe_video
from tests.media.test_segment import write
from tests.mounts.namespace import INSIDE, UNSHARE, mount

PAGE_BYTES = 4096
FRAMES = 60
REPOSITORY = Path(__file__).resolve().parents[2]


def fill(place: Path) -> list[object]:
    """Write one segment on a disk of one page, of two, and so on until it fits; tells what came of each."""
    found: list[object] = []
    for pages in range(2, 200):
        disk = place / str(pages)
        disk.mkdir()
        mount("none", disk, "tmpfs", options=f"size={pages * PAGE_BYTES}")
        try:
            frames = probe_video(write(disk / "00000.mp4", FRAMES), Limits()).frame_count
        except ResourceError as error:
            assert not (disk / "00000.mp4").exists()
            found.append(error.code)
        else:
            return [*found, frames]
    return found


@pytest.mark.mounts
@pytest.mark.ffmpeg
def test_a_segment_is_whole_or_the_disk_is_said_to_be_full(tmp_path: Path) -> None:
    script = (
        "import json, sys\nfrom pathlib import Path\nfrom tests.media.test_full_disk import fill\n"
        "print(json.dumps(fill(Path(sys.argv[1]))))"
    )
    environment = {**os.environ, INSIDE: "1", "PYTHONPATH": str(REPOSITORY)}
    argv = [*UNSHARE, sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(argv, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *refused, frames = json.loads(done.stdout.splitlines()[-1])
    assert frames == FRAMES
    assert len(refused) > 1
    assert set(refused) == {"E202"}
