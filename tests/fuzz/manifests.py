"""What must be true of every text that is read as a manifest or as the settings of a folder."""

from heygemd.errors import InputError
from heygemd.intake.manifests.expansion import expand, fits, patterns_of
from heygemd.intake.manifests.foldertoml import read_config, read_job_options
from heygemd.intake.manifests.reading import ManifestLimits, read_manifest
from heygemd.jobs.job import RenderOptions

SUFFIXES = ("json", "yaml", "csv", "jsonl")
LIMITS = ManifestLimits(max_bytes=8 << 20, max_rows=10_000)
GOOD = {
    "json": b'{"heygem": 1, "strict": false, "defaults": {"video": "a.mp4", "options": {"crf": 18}},\n'
    b' "jobs": [{"id": "x", "audio": "lines/*.wav", "output": "{stem}.mp4"},\n'
    b'{"audio": "b.wav", "size": {"audio": 3}}]}',
    "yaml": b"heygem: 1\nstrict: false\ndefaults: {video: a.mp4}\n"
    b"jobs:\n  - id: x\n    audio: 'b.wav'\n  - {audio: c.wav}\n",
    "csv": b'# strict: false\nid,video,audio,crf,sha256.audio\nx,a.mp4,"b.wav",18,\ny,a.mp4,[bc].wav,,\n',
    "jsonl": b'{"heygem": 1, "strict": true}\n{"video": "a.mp4", "audio": "b.wav"}\n'
    b'{"video": "a.mp4", "audio": "*.wav"}\n',
}


def survives(data: bytes) -> None:
    """Read as everything; only InputError may come, and only sentences."""
    files = ["a.mp4", "b.wav", "lines/1.wav", "A.MP4"]
    for suffix in SUFFIXES:
        try:
            manifest = read_manifest(data, f"m.heygem.{suffix}", LIMITS)
        except InputError as error:
            assert error.message.isprintable()
            continue
        rows = expand(manifest, stem="m", folder="f", files=files, options=RenderOptions(), priority=0)
        assert [row.number for row in rows] == list(range(1, len(rows) + 1))
        for row in rows:
            assert row.error is not None or (row.video and row.audio and row.film_name)
            assert row.error is None or row.error.message.isprintable()
            assert all(".." not in member.path.split("/") and member.path.startswith("f/") for member in row.members)
            assert ".." not in row.film_folder.split("/")
        assert all(isinstance(fits(pattern, "f/a.wav"), bool) for pattern in patterns_of(manifest, "f"))
    for read in (read_config, read_job_options):
        try:
            read(data)
        except InputError as error:
            assert error.message.isprintable()
