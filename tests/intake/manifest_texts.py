"""One manifest in four formats, and readers of small ones."""

import json

import pytest

from heygemd.errors import InputError
from heygemd.intake.manifests.model import Manifest, ManifestRow
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest

LIMITS = ManifestLimits(max_bytes=8 << 20, max_rows=10_000)
SHA = "9f" * 32
JSON = f"""{{"heygem": 1, "strict": true, "bundle": true, "jobs": [
 {{"id": "ep01", "video": "anna.mp4", "audio": "lines/ep01.wav", "output": "films/one.mp4", "priority": 5,
   "options": {{"engine": "atlas", "length": "pingpong", "crf": 16, "audio_offset_ms": -40}},
   "sha256": {{"audio": "{SHA}"}}, "size": {{"audio": 4711}}}},
 {{"id": "007", "video": "张三.mp4", "audio": "no.wav"}},
 {{"video": "a \\"b\\", c.mp4", "audio": "12:30.wav"}}
]}}"""
YAML = f"""# a comment
heygem: 1
strict: true
bundle: true
jobs:
  - id: ep01
    video: anna.mp4
    audio: lines/ep01.wav
    output: films/one.mp4
    priority: 5
    options: {{engine: atlas, length: pingpong, crf: 16, audio_offset_ms: -40}}
    sha256: {{audio: {SHA}}}
    size:
      audio: 4711
  - id: 007
    video: 张三.mp4
    audio: no.wav
  - video: 'a "b", c.mp4'
    audio: 12:30.wav
"""
CSV = f"""# strict: true
# bundle: true
id,video,audio,output,priority,engine,length,crf,audio_offset_ms,sha256.audio,size.audio
ep01,anna.mp4,lines/ep01.wav,films/one.mp4,5,atlas,pingpong,16,-40,{SHA},4711
007,张三.mp4,no.wav,,,,,,,,
,"a ""b"", c.mp4",12:30.wav
"""


def json_lines() -> str:
    """The JSON manifest, one row a line."""
    whole = json.loads(JSON)
    rows = whole.pop("jobs")
    return "\n".join(json.dumps(one, ensure_ascii=False) for one in (whole, *rows)) + "\n"


def read(text: str, suffix: str = "json") -> Manifest:
    return read_manifest(text.encode(), f"lines.heygem.{suffix}", LIMITS)


def refusal(text: str | bytes, suffix: str = "json") -> InputError:
    data = text.encode() if isinstance(text, str) else text
    with pytest.raises(InputError) as caught:
        read_manifest(data, f"lines.heygem.{suffix}", LIMITS)
    return caught.value


def only_row(text: str, suffix: str = "json") -> ManifestRow:
    (row,) = read(text, suffix).rows
    return row


def json_row(row: str) -> ManifestRow:
    """Read a JSON manifest of this one row."""
    return only_row(f'{{"heygem": 1, "jobs": [{row}]}}')


def yaml_row(lines: str) -> ManifestRow:
    """Read a YAML manifest with one row of these lines."""
    body = lines.strip().replace("\n", "\n    ")
    return only_row(f"heygem: 1\njobs:\n  - {body}\n", "yaml")


def contents(manifest: Manifest) -> list[dict[str, object]]:
    """What the rows say, without the places."""
    return [
        {name: getattr(row, name) for name in ManifestRow.__slots__ if name not in ("line", "column")}
        for row in manifest.rows
    ]
