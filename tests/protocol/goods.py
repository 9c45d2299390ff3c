"""What people drop here: small files that pass for whole, each with a mark of its own, and who reads them.

A file's mark stays with it wherever it goes, so a lost, changed or doubled input shows. The probe and the worker see
only marks: `cut` files are refused by the probe, `faceless` ones fail when they are analysed, all others give a film
whose bytes say of which inputs it was made.
"""

import hashlib
import json
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from heygemd.errors import InputError
from heygemd.jobs.job import AudioInfo, VideoInfo
from heygemd.planning.plan import Event, FilmFacts, Plan, Task, TaskKind, from_json, to_json
from heygemd.scheduler.fake_workers import FakeWorkers, failed, leave_files
from heygemd.scheduler.workers import Ended

GOOD, CUT, FACELESS = b"good", b"cut", b"faceless"
REFUSED = {CUT: "E101", FACELESS: "E131"}
"""What becomes of a job with such a file."""
PICTURES, SOUNDS = ("mp4", "mov"), ("wav", "ogg")
SEGFAULT = Ended(returncode=-11)


def picture(mark: int, quality: bytes = GOOD) -> bytes:
    """Boxes that tile the file, with a `moov` among them."""
    return _box(b"ftyp", b"mp42") + _box(b"moov", b"") + _box(b"free", b"%s %d" % (quality, mark))


def sound(mark: int, quality: bytes = GOOD) -> bytes:
    """A RIFF whose lengths fit."""
    told = b"%s %d " % (quality, mark)
    told += b" " * (len(told) % 2)
    chunks = b"fmt " + (16).to_bytes(4, "little") + bytes(16) + b"data" + len(told).to_bytes(4, "little") + told
    return b"RIFF" + (4 + len(chunks)).to_bytes(4, "little") + b"WAVE" + chunks


def make(name: str, mark: int, quality: bytes = GOOD) -> bytes:
    """The content of a new file of that name."""
    return (sound if name.rpartition(".")[2] in SOUNDS else picture)(mark, quality)


def quality_of(content: bytes) -> bytes:
    return next((quality for quality in REFUSED if b"%s " % quality in content), GOOD)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _box(kind: bytes, body: bytes) -> bytes:
    return (8 + len(body)).to_bytes(4, "big") + kind + body


def film_bytes(video_sha256: str, audio_sha256: str, crf: int) -> bytes:
    """The film of two inputs: equal inputs and options give equal films."""
    return json.dumps({"film": [video_sha256, audio_sha256, crf]}).encode()


def probe_video(path: Path, limits: object) -> VideoInfo:
    """Stands for `media.probe.probe_video`: two seconds of ten frames each."""
    del limits
    _refuse_cut(path)
    return VideoInfo(demuxer="mov", codec="h264", stream=0, fps=Fraction(10), frame_count=20, width_px=64, height_px=48)


def probe_audio(path: Path, limits: object) -> AudioInfo:
    """Stands for `media.probe.probe_audio`: two seconds."""
    del limits
    _refuse_cut(path)
    return AudioInfo(demuxer="wav", codec="pcm_s16le", stream=0, rate_hz=16000, channels=1, sample_count=32000)


def _refuse_cut(path: Path) -> None:
    if quality_of(path.read_bytes()) == CUT:
        raise InputError("E101", f"{path.name} ends too early")


class Studio:
    """What the workers of all daemons of one world did, and how they are disturbed."""

    def __init__(self) -> None:
        self.films: Counter[bytes] = Counter()
        """How often each film was made."""
        self.deaths_to_come = 0
        self.deaths: Counter[str] = Counter()
        """Workers that died, by job."""
        self.segments: Counter[tuple[str, int]] = Counter()
        """How often each segment of each job was rendered."""
        self.is_on_strike = False
        self.tasks_to_come: int | None = None
        """So many are still done before a strike."""
        self.faults: list[str] = []
        """Promises that were broken before a worker's eyes."""
        self._waiting: deque[tuple[FakeWorkers, int, Task]] = deque()

    def hire(self) -> FakeWorkers:
        """Return the workers of a new daemon; those of the old one are gone."""
        self._waiting.clear()
        workers = Crowd(self)
        workers.act = lambda task: self.obey(workers, task)
        return workers

    def obey(self, workers: FakeWorkers, task: Task) -> Iterable[Event | Ended]:
        """Do a task, or leave it lying."""
        if self.tasks_to_come is not None:
            self.is_on_strike = self.tasks_to_come <= 0
            self.tasks_to_come -= 1
        if self.is_on_strike:
            self._waiting.append((workers, workers.sent[-1][0], task))
            return ()
        if self.deaths_to_come:
            self.deaths_to_come -= 1
            self.deaths[task.job_id] += 1
            return (SEGFAULT,)
        return (self._make(task),)

    def end_strike(self) -> None:
        """Do what was left lying."""
        self.is_on_strike, self.tasks_to_come = False, None
        while self._waiting:
            workers, worker, task = self._waiting.popleft()
            if worker in workers.alive:
                workers.say(worker, *self.obey(workers, task))

    def _make(self, task: Task) -> Event:
        if task.kind is TaskKind.ANALYSE:
            return self._analyse(task)
        plan = from_json(Plan, task.order_path.read_bytes())
        if task.segment is not None and (plan.segments_dir / task.segment.file_name).exists():
            self.faults.append(f"P5: segment {task.segment.index} of {task.job_id} is finished, and rendered again")
        told = leave_files(task)
        if task.segment is not None:
            self.segments[task.job_id, task.segment.index] += 1
        if task.kind is TaskKind.FINISH:
            self._finish(plan)
        return told

    def _analyse(self, task: Task) -> Event:
        order = json.loads(task.order_path.read_bytes())
        for role in ("video", "audio"):
            try:
                content = Path(order[role]).read_bytes()
            except OSError:
                return failed(task, "E201", f"{order[role]} cannot be read")
            if sha256(content) != order[f"{role}_sha256"]:
                self.faults.append(f"P1: the {role} of {task.job_id} is not what was claimed")
            if quality_of(content) == FACELESS:
                return failed(task, REFUSED[FACELESS], "nobody is to be seen")
        return leave_files(task)

    def _finish(self, plan: Plan) -> None:
        film = film_bytes(plan.order.video_sha256, plan.order.audio_sha256, plan.order.options.crf)
        facts = from_json(FilmFacts, plan.facts_file.read_bytes())
        plan.facts_file.write_text(to_json(replace(facts, sha256=sha256(film), size_bytes=len(film))))
        plan.film_file.write_bytes(film)
        self.films[film] += 1


class Crowd(FakeWorkers):
    """Workers that die with their daemon."""

    def __init__(self, studio: Studio) -> None:
        super().__init__()
        self.studio = studio
