"""`Vitals` in which nothing is empty, for the tests of what is made from them."""

from datetime import UTC, datetime, timedelta

from heygemd.planning.plan import TaskKind
from heygemd.scheduler.tally import Tally
from heygemd.vitals import Counts, DeviceVitals, JobVitals, RootVitals, Vitals, WorkerVitals

NOW = datetime(2025, 1, 31, 20, 0, tzinfo=UTC)
H200 = "NVIDIA H200"
GIB = 1 << 30


def card(label: str = "cuda:0", **facts) -> DeviceVitals:
    told = {
        "name": H200, "total_bytes": 139 * GIB, "free_bytes": 98 * GIB, "others_bytes": 1 * GIB,
        "budget_bytes": 130 * GIB, "granted_bytes": 44 * GIB, "held_bytes": 40 * GIB, "workers": 2, "most_workers": 8,
        "busy_workers": 1, "utilisation": 0.71, "temperature_c": 64, "throttle": ("sw_power_cap",),
        "uuid": "GPU-5b" if label != "cpu" else "",
    }  # fmt: skip
    return DeviceVitals(label=label, **told | facts)


def cpu() -> DeviceVitals:
    quiet = {"utilisation": None, "temperature_c": None, "throttle": (), "total_bytes": 24 * GIB, "free_bytes": 6 * GIB}
    return card("cpu", name="CPU with 2 threads", **quiet)


def worker(device: str = "cuda:0", state: str = "busy", rss_bytes: int = 2 * GIB) -> WorkerVitals:
    return WorkerVitals(pid=4711, device=device, engine="wav2lip", state=state, rss_bytes=rss_bytes)


def job(name: str, done: int, total: int, stage: str = "render") -> JobVitals:
    return JobVitals(
        job=f"id-{name}", name=name, folder="", root="0b5e", stage=stage, frames_done=done, frames_total=total,
        fps=50.0, eta_s=10.0, left_s=12.0, device="cuda:0", attempts=1,
    )  # fmt: skip


def root(path: str = "/srv/films", state: str = "online", **facts) -> RootVitals:
    told = {
        "uuid": "0b5e", "waiting_files": 5, "needs_you": 3, "batches": 1, "watcher": "on", "watcher_rebuilds": 1,
        "watcher_overflows": 2, "look_age_s": 4.0, "look_s": 0.2,
    }  # fmt: skip
    return RootVitals(path=path, state=state, **told | facts)


def tally() -> Tally:
    """One of everything that the daemon counts, by its own counters."""
    counted = Tally()
    for kind in TaskKind:
        counted.note_task(kind, {"decode": 1.5, "paint": 2.5}, frames=250)
    counted.note_cached(["track"], studied=True)
    counted.note_cached([], studied=True)
    counted.note_shortage("E301")
    counted.note_retry()
    counted.note_worker_started()
    counted.note_worker_recycled()
    counted.note_memory("cuda:0", predicted_bytes=11 * GIB, measured_bytes=10 * GIB)
    counted.note_memory("cuda:0", predicted_bytes=9 * GIB, measured_bytes=10 * GIB)
    return counted


def full_vitals(**facts) -> Vitals:
    """Return vitals with a value in every field; `facts` replace some."""
    counts = Counts(
        queued=14, running=2, done=900, failed=7, cancelled=1, oldest_queued_s=600.0,
        ended={"done": 128, "failed": 2, "cancelled": 0}, failures={"E131": 1, "E502": 1}, duplicates=4,
        film_s=3900.5, films_last_hour=30, film_s_last_hour=900.0,
    )  # fmt: skip
    told = {
        "written_at": NOW, "started_at": NOW - timedelta(hours=5), "pid": 17, "host": "studio", "version": "0.1.0",
        "status": "", "config": "/etc/heygemd/heygemd.toml", "reloaded_at": NOW - timedelta(hours=1),
        "roots": (root(), root("/srv/more", "offline", watcher="off")), "devices": (card(), cpu()),
        "workers": (worker(), worker(state="idle"), worker("cpu", "starting", GIB)),
        "jobs": (job("anna", 63, 100), job("intro", 12, 100)), "counts": counts,
        "queue_ends_at": NOW + timedelta(hours=3, minutes=40), "tally": tally().as_dict(),
        "beats": {"tick": 0.1, "desk /srv/films": 2.0}, "cache_bytes": 3 * GIB, "state_free_bytes": 90 * GIB,
        "rss_bytes": 60_000_000, "cpu_s": 12.5, "open_fds": 55, "unwritten": ("events",),
    }  # fmt: skip
    return Vitals(**told | facts)


def bare_vitals() -> Vitals:
    """Return vitals of a daemon that has done nothing and knows nothing yet."""
    return Vitals(written_at=NOW, started_at=NOW, pid=17, host="studio", version="0.1.0", status="")
