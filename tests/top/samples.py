"""Daemons to look at: one that works, one with everything wrong, and names that strangers gave."""

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from pathlib import Path

from heygemd.jobs.job import AudioInfo, InputFile, Job, MediaInfo, RenderOptions, VideoInfo
from heygemd.jobs.states import JobState
from heygemd.lookout import Ended, Glance, RootSeen, Standing
from heygemd.outbox.status import LastResult, QueuedJob, RootState, RootStatus, Snapshot
from heygemd.vitals import Counts, DeviceVitals, JobVitals, RootVitals, Vitals, WorkerVitals

NOW = datetime(2025, 3, 5, 13, 30, 5, tzinfo=UTC)
GIB = 1 << 30
STATE = Path("/var/lib/heygemd")
HOSTILE = (
    "\x1b[2J\x1b[31mred", "two\nlines\tand\rmore", "a\x00b\x07\x9b31m", "\u202egpj.exe", "名" * 120, "x" * 300,
    "e\u0301" * 60, "👩‍👩‍👧‍👦 family", "[bold red]markup[/]", "\udcff\udcfe", "a\u2028b", "",
)  # fmt: skip


def job_id(number: int) -> str:
    return f"20250305T1330{number:05}-abcdefgh{chr(97 + number // 26 % 26)}{chr(97 + number % 26)}"


def job(number: int, name: str, state: JobState = JobState.QUEUED, **fields) -> Job:
    file = InputFile(name=f"{name}.mp4", path=Path("/x"), size_bytes=12_345_678, sha256="aa")
    video = VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=Fraction(25), frame_count=100, width_px=1920, height_px=1080
    )
    audio = AudioInfo(demuxer="wav", codec="pcm", stream=0, rate_hz=16_000, channels=1, sample_count=16_000 * 61)
    base = {
        "id": job_id(number), "root": "u", "name": name, "folder": "", "state": state, "video": file, "audio": file,
        "options": RenderOptions(), "media": MediaInfo(video=video, audio=audio), "claim_dir": None,
        "queued_at": NOW - timedelta(minutes=5), "not_before": NOW,
    }  # fmt: skip
    return Job(**base | fields)


def device(label: str = "cuda:0", **fields) -> DeviceVitals:
    base = {
        "label": label, "name": "NVIDIA H200", "total_bytes": 139 * GIB, "free_bytes": 107 * GIB,
        "others_bytes": 20 * GIB, "budget_bytes": 118 * GIB, "granted_bytes": 30 * GIB, "held_bytes": 12 * GIB,
        "workers": 3, "most_workers": 4, "busy_workers": 2, "utilisation": 0.87, "temperature_c": 64,
    }  # fmt: skip
    return DeviceVitals(**base | fields)


def worker(pid: int, job: str = "", **fields) -> WorkerVitals:
    base = {
        "pid": pid, "device": "cuda:0", "engine": "atlas", "state": "busy" if job else "idle", "job": job,
        "task": "render" if job else "", "segment": 2 if job else None, "frames_done": 321 if job else 0,
        "frames_total": 1500 if job else 0, "task_s": 12.5, "granted_bytes": 10 * GIB, "rss_bytes": 900 << 20,
        "tasks_taken": 7,
    }  # fmt: skip
    return WorkerVitals(**base | fields)


def running(number: int, name: str, **fields) -> JobVitals:
    base = {
        "job": job_id(number), "name": name, "folder": "", "root": "u", "stage": "render", "frames_done": 700,
        "frames_total": 1525, "fps": 31.4, "eta_s": 26.0, "left_s": 31.0, "device": "cuda:0", "attempts": 1,
        "film_s": 61.0,
    }  # fmt: skip
    return JobVitals(**base | fields)


def vitals(**fields) -> Vitals:
    base = {
        "written_at": NOW - timedelta(seconds=1), "started_at": NOW - timedelta(days=3, hours=4), "pid": 4121,
        "host": "studio-3", "version": "0.5.0", "status": "rendering 2 films", "config": "/etc/heygemd/heygemd.toml",
        "roots": (root(),), "devices": (device(),),
        "workers": (worker(5001, job_id(1)), worker(5002, job_id(2)), worker(5003)),
        "jobs": (running(1, "anna"), running(2, "安娜 第三课", stage="analyse", left_s=None, eta_s=None, fps=None)),
        "counts": Counts(queued=2, running=2, done=120, failed=3, cancelled=1, films_last_hour=12,
                         film_s_last_hour=1450.0, oldest_queued_s=300.0),
        "queue_ends_at": NOW + timedelta(minutes=42),
    }  # fmt: skip
    return Vitals(**base | fields)


def root(path: str = "/srv/films", **fields) -> RootVitals:
    return RootVitals(**{"path": path, "uuid": "u", "state": "online"} | fields)


def told(queue=(), results=()) -> RootSeen:
    path = Path("/srv/films")
    snapshot = Snapshot(
        written_at=NOW, pid=4121, host="studio-3", version="0.5.0",
        root=RootStatus(path=path, uuid="u", state=RootState.ONLINE), counts=dict.fromkeys(JobState, 0),
        queue=tuple(queue), results=tuple(results),
    )  # fmt: skip
    return RootSeen(path=path, told=snapshot)


def glance(**fields) -> Glance:
    """A daemon that makes two films; two wait; three have ended."""
    waiting = (job(3, "bernd", priority=5), job(4, "clara", folder="customer A/lesson 3"))
    failed = {"error_code": "E131", "error_message": "no face in 120 of 120 looks"}
    ended = (
        Ended(job=job(5, "dora", JobState.DONE, published_name="dora.mp4"), at=NOW - timedelta(minutes=2)),
        Ended(job=job(6, "emil", JobState.FAILED, attempts=2, **failed), at=NOW - timedelta(minutes=9)),
        Ended(job=job(7, "frida", JobState.CANCELLED), at=NOW - timedelta(days=2)),
    )
    queue = [
        QueuedJob(job=one.id, name=one.name, folder=one.folder, queued_at=one.queued_at, position=number,
                  starts_at=NOW + timedelta(minutes=3 * number), priority=one.priority)
        for number, one in enumerate(waiting, 1)
    ]  # fmt: skip
    results = [
        LastResult(job=ended[0].job.id, name="dora", folder="", state=JobState.DONE, finished_at=NOW, output="dora.mp4",
                   film="outbox/dora.mp4"),
        LastResult(job=ended[1].job.id, name="emil", folder="", state=JobState.FAILED, finished_at=NOW,
                   reason_file="failed/emil__abcdefgh/REASON.txt"),
    ]  # fmt: skip
    base = {
        "at": NOW, "state_dir": STATE, "standing": Standing.RUNNING, "holder": "host studio-3 pid 4121",
        "vitals": vitals(), "roots": (told(queue, results),), "queue": waiting, "ended": ended,
    }  # fmt: skip
    return Glance(**base | fields)
