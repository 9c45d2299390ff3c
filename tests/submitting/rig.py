"""Orders, roots and files to play with, for the tests of `heygemd submit`."""

import json
import struct

from heygemd.intake.manifests.model import ManifestLimits
from heygemd.jobs.choice import OptionChoice
from heygemd.submitting.delivery import Rules, deliver
from heygemd.submitting.inputs import look_at_all
from heygemd.submitting.writing import target_of

LIMITS = ManifestLimits(max_bytes=1 << 20, max_rows=100)
RULES = Rules(limits=LIMITS, reserve_bytes=0)
MP4 = b"\x00\x00\x00\x18ftypmp42" + bytes(2000)
WAV = b"RIFF" + struct.pack("<I", 2036) + b"WAVEfmt " + bytes(2028)
JPEG = b"\xff\xd8\xff\xe0" + bytes(500)
PLAIN = OptionChoice()
MANIFEST = {
    "heygem": 1, "bundle": True,
    "defaults": {"video": "anna.mp4", "priority": 5, "options": {"length": "loop"}},
    "jobs": [
        {"id": "ep01", "audio": "ep01.wav", "options": {"engine": "passthrough"}},
        {"id": "all", "audio": "lines/*.wav", "output": "lines/{stem}-{number}.mp4", "priority": 0},
    ],
}  # fmt: skip


def send(order, root, folder=None, *, rules=RULES, **how):
    looks = look_at_all(order)
    return deliver(order, looks, target_of(root, folder, list(looks.values())), rules, **how)


def listed(folder):
    """Names and modes of everything below a folder but the root's own."""
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def rows_of(delivered):
    return json.loads(delivered.manifest.read_text())["jobs"]
