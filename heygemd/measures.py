"""Every metric that Prometheus is told: its name, kind, labels, meaning, and how it is read from `Vitals`. Pure.

Label sets are bounded by the configuration and the code: never a job, a film or a worker. Series that can be foreseen
are there as 0 from the start, because `increase()` does not see the first step of a counter that is born as 1.
`docs/metrics.md` repeats this table; a test compares the two.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from heygemd.errors import ADVICE
from heygemd.vitals import DeviceVitals, RootVitals, Vitals

PREFIX = "heygemd_"
HOUR_S = 3600.0
ROOT_STATES = ("online", "offline", "paused")
WATCHER_STATES = ("on", "dead", "off")
WORKER_STATES = ("starting", "idle", "busy", "leaving")
STAGES = ("analyse", "render", "finish", "publish")
OUTCOMES = ("done", "failed", "cancelled")
TASK_KINDS = STAGES[:3]
CACHED_KINDS = ("track", "likeness", "speech")
SHORTAGES = ("E202", "E301", "E302", "E303")
DEVICE_KINDS = ("cpu", "cuda")
THROTTLES = (
    "sw_power_cap", "hw_slowdown", "sw_thermal_slowdown", "hw_thermal_slowdown", "hw_power_brake_slowdown"
)  # fmt: skip

Reading = tuple[tuple[str, ...], float]
"""Values of the labels, in order, and the figure."""


@dataclass(frozen=True, slots=True)
class Measure:
    """One metric."""

    name: str
    kind: Literal["gauge", "counter"]
    meaning: str
    labels: tuple[str, ...]
    read: Callable[[Vitals], Iterable[Reading]]
    """An unknown value gives no reading."""


def _one(name: str, meaning: str, read: Callable[[Vitals], float | None]) -> Measure:
    """Make a metric without labels; it is a counter when its name says so."""

    def readings(vitals: Vitals) -> Iterable[Reading]:
        value = read(vitals)
        return () if value is None else (((), value),)

    return Measure(PREFIX + name, _kind(name), meaning, (), readings)


def _by(
    label: str, name: str, meaning: str, read: Callable[[Vitals], Mapping[str, float]], known: Iterable[str] = ()
) -> Measure:
    """Make a metric with one label; what is `known` and not read is 0."""
    zeros = dict.fromkeys(known, 0.0)
    return Measure(
        PREFIX + name, _kind(name), meaning, (label,), lambda vitals: _labelled({**zeros, **read(vitals)})
    )  # fmt: skip


def _root(name: str, meaning: str, read: Callable[[RootVitals], float | None]) -> Measure:
    return _by("root", f"root_{name}", meaning, lambda vitals: _known((r.path, read(r)) for r in vitals.roots))


def _device(name: str, meaning: str, read: Callable[[DeviceVitals], float | None]) -> Measure:
    return _by("device", f"device_{name}", meaning, lambda vitals: _known((d.label, read(d)) for d in vitals.devices))


def _tallied(label: str, name: str, meaning: str, key: str, known: Iterable[str] = ()) -> Measure:
    return _by(label, name, meaning, lambda vitals: vitals.tally.get(key, {}), known)


def _memory(name: str, meaning: str, key: str) -> Measure:
    def read(vitals: Vitals) -> dict[str, float]:
        kinds: dict[str, dict[str, float]] = vitals.tally.get("memory", {})
        return {kind: errors[key] for kind, errors in kinds.items()}

    return _by("kind", f"memory_prediction{name}", meaning, read, DEVICE_KINDS)


def _kind(name: str) -> Literal["gauge", "counter"]:
    return "counter" if name.endswith("_total") else "gauge"


def _labelled(values: Mapping[str, float]) -> Iterable[Reading]:
    return (((label,), value) for label, value in values.items())


def _known(pairs: Iterable[tuple[str, float | None]]) -> dict[str, float]:
    return {label: value for label, value in pairs if value is not None}


def _one_of(of: str, state: str, states: Iterable[str]) -> Iterable[Reading]:
    """Tell each state, 1 for the present one."""
    return (((of, each), float(each == state)) for each in dict.fromkeys((*states, state)))


def _throttled(vitals: Vitals) -> Iterable[Reading]:
    for device in vitals.devices:
        for reason in dict.fromkeys((*THROTTLES, *device.throttle)) if device.label != "cpu" else ():
            yield (device.label, reason), float(reason in device.throttle)


def _workers(vitals: Vitals) -> Iterable[Reading]:
    now = [(worker.device, worker.state) for worker in vitals.workers]
    known = [(device.label, state) for device in vitals.devices for state in WORKER_STATES]
    return ((place, float(now.count(place))) for place in dict.fromkeys((*known, *now)))


def _worker_rss(vitals: Vitals) -> dict[str, float]:
    found = {device.label: 0.0 for device in vitals.devices}
    for worker in vitals.workers:
        found[worker.device] = found.get(worker.device, 0.0) + worker.rss_bytes
    return found


def _stands(vitals: Vitals) -> dict[str, float]:
    counts = vitals.counts
    return {state: getattr(counts, state) for state in ("queued", "running", *OUTCOMES)}


def _stage_jobs(vitals: Vitals) -> dict[str, float]:
    now = [job.stage for job in vitals.jobs]
    return {stage: float(now.count(stage)) for stage in now}


MEASURES = (
    # the daemon
    Measure(
        "heygemd_build_info", "gauge", "Always 1; the version that runs.",
        ("version",), lambda v: [((v.version,), 1.0)],
    ),
    _one("start_time_seconds", "When the daemon was started.", lambda v: v.started_at.timestamp()),
    _one("written_timestamp_seconds", "When this file was written; old means that the daemon is gone or hangs.",
         lambda v: v.written_at.timestamp()),
    _one("paused", "1 while the daemon as a whole does not go on, because its store cannot be written.",
         lambda v: float(bool(v.paused))),
    _one("reload_refused", "1 while the latest reload was refused; the configuration before it holds.",
         lambda v: float(bool(v.reload_error))),
    _one("reloaded_timestamp_seconds", "When the configuration was last read again; none before the first time.",
         lambda v: v.reloaded_at.timestamp() if v.reloaded_at else None),
    _one("restart_needed_settings", "Settings that were changed by a reload and hold only after a restart.",
         lambda v: len(v.needs_restart)),
    _by("loop", "beat_age_seconds", "Time since each loop of the daemon last gave a sign of life.",
        lambda v: v.beats),
    _one("process_resident_memory_bytes", "Memory of the daemon process, without helpers and workers.",
         lambda v: v.rss_bytes),
    _one("process_cpu_seconds_total", "Processor time of the daemon process.", lambda v: v.cpu_s),
    _one("process_open_fds", "Open file descriptors of the daemon process.", lambda v: v.open_fds),
    _by("what", "unwritten", "1 for what operators read and cannot be written: the event log, the vitals.",
        lambda v: dict.fromkeys(v.unwritten, 1.0), ("events", "vitals")),
    _one("state_free_bytes", "Free space on the disk of the state directory.", lambda v: v.state_free_bytes),
    # jobs
    _by("state", "jobs", "Jobs by state, in all of the store's history.", _stands),
    _by("stage", "stage_jobs", "Running jobs by stage.", _stage_jobs, STAGES),
    _one("queue_oldest_seconds", "How long the oldest queued job has waited; 0 when none waits.",
         lambda v: v.counts.oldest_queued_s or 0.0),
    _one("queue_end_timestamp_seconds", "When the queue will be done; an estimate, none while it is unknown.",
         lambda v: v.queue_ends_at.timestamp() if v.queue_ends_at else None),
    _one("progress_frames", "Frames of the present stages that running jobs have done; moves while anything does.",
         lambda v: sum(job.frames_done for job in v.jobs)),
    _by("outcome", "jobs_ended_total", "Jobs that ended since the start.", lambda v: v.counts.ended, OUTCOMES),
    _by("code", "failures_total", "Jobs that failed since the start, by error code.",
        lambda v: v.counts.failures, ADVICE),
    _one("duplicates_total", "Films since the start that are copies of earlier ones.", lambda v: v.counts.duplicates),
    # pace
    _one("film_seconds_total", "Length of the films made since the start, without copies.",
         lambda v: v.counts.film_s),
    _one("last_hour_films", "Films made within the last hour, without copies and only since the start.",
         lambda v: v.counts.films_last_hour),
    _one("last_hour_film_seconds", "Length of these films.", lambda v: v.counts.film_s_last_hour),
    _one("last_hour_realtime_ratio", "Seconds of film made per second of the last hour, idle time included.",
         lambda v: v.counts.film_s_last_hour / HOUR_S),
    _one("frames_rendered_total", "Frames rendered since the start.", lambda v: v.tally.get("frames_rendered", 0)),
    _tallied("kind", "tasks_total", "Tasks that workers have done.", "tasks_done", TASK_KINDS),
    _tallied("stage", "stage_seconds_total", "Time of workers by what they did.", "stage_s"),
    _one("retries_total", "Tasks that were given back to be tried again.", lambda v: v.tally.get("retries", 0)),
    _tallied("code", "shortages_total", "Tasks that ended for want of memory, disk or a device.",
             "shortages", SHORTAGES),
    # workers
    Measure("heygemd_workers", "gauge", "Worker processes.", ("device", "state"), _workers),
    _by("device", "workers_resident_memory_bytes", "Main memory of the workers, by the device they are for.",
        _worker_rss),
    _one("workers_started_total", "Workers started.", lambda v: v.tally.get("workers_started", 0)),
    _one("workers_recycled_total", "Workers ended because they were worn.",
         lambda v: v.tally.get("workers_recycled", 0)),
    # cache
    _tallied("kind", "cache_hits_total", "Analyses that were found in the cache.", "cache_hits", CACHED_KINDS),
    _tallied("kind", "cache_misses_total", "Analyses that had to be made.", "cache_misses", CACHED_KINDS),
    _one("cache_bytes", "Size of the cache of analyses.", lambda v: v.cache_bytes),
    # memory, predicted and measured
    _memory("s_total", "Tasks whose predicted peak of memory was compared with the measured one.", "count"),
    _memory("_error_mean_ratio", "Mean size of the errors, as a share of the measured peak, since the start.", "mean"),
    _memory("_worst_below_ratio", "Largest share by which a prediction was too low since the start: shortages.",
            "worst_below"),
    _memory("_worst_above_ratio", "Largest share by which one was too high since the start: memory left unused.",
            "worst_above"),
    # devices
    Measure(
        "heygemd_device_info", "gauge", "Always 1; what the device is.",
        ("device", "name", "uuid"),
        lambda v: [((d.label, d.name, d.uuid), 1.0) for d in v.devices],
    ),
    _device("lost", "1 while the card does not answer.", lambda d: float(d.is_lost)),
    _device("memory_size_bytes", "Memory of the device.", lambda d: d.total_bytes),
    _device("memory_free_bytes", "What nobody holds.", lambda d: d.free_bytes),
    _device("memory_others_bytes", "What processes hold that are not ours.", lambda d: d.others_bytes),
    _device("memory_budget_bytes", "What our workers may hold together.", lambda d: d.budget_bytes),
    _device("memory_granted_bytes", "What they were granted: the predicted peaks.", lambda d: d.granted_bytes),
    _device("memory_held_bytes", "What they really hold.", lambda d: d.held_bytes),
    _device("workers_max", "Most workers there may be on the device.", lambda d: d.most_workers),
    _device("utilisation_ratio", "Share of the time in which the card computed; none where nobody tells.",
            lambda d: d.utilisation),
    _device("temperature_celsius", "Temperature of the card; none where nobody tells.", lambda d: d.temperature_c),
    Measure(
        "heygemd_device_throttled", "gauge", "1 while the card is slower than it could be, for this reason.",
        ("device", "reason"), _throttled,
    ),
    # roots
    Measure(
        "heygemd_root_info", "gauge", "Always 1; the root's own name, empty while it has never been there.",
        ("root", "uuid"), lambda v: [((r.path, r.uuid), 1.0) for r in v.roots],
    ),
    Measure(
        "heygemd_root_state", "gauge", "1 for the state that the root is in.", ("root", "state"),
        lambda v: (one for r in v.roots for one in _one_of(r.path, r.state, ROOT_STATES)),
    ),
    _root("waiting_files", "Files in the inbox that are no jobs yet.", lambda r: r.waiting_files),
    _root("needs_you", "Those of them, and folder configurations, that stay until a person does something.",
          lambda r: r.needs_you),
    _root("batches_open", "Manifests and job folders that are not finished.", lambda r: r.batches),
    Measure(
        "heygemd_root_watcher", "gauge", "1 for how changes are noticed: on; dead (it should, and does not); off "
        "(a mount, looked at on schedule).", ("root", "state"),
        lambda v: (one for r in v.roots for one in _one_of(r.path, r.watcher, WATCHER_STATES)),
    ),
    _root("watcher_rebuilds_total", "How often the watcher had died and was begun anew.",
          lambda r: r.watcher_rebuilds),
    _root("watcher_overflows_total", "How often it lost events; the inbox was looked at at once.",
          lambda r: r.watcher_overflows),
    _root("look_age_seconds", "Time since the last look at the inbox has ended.", lambda r: r.look_age_s),
    _root("look_duration_seconds", "How long that look took.", lambda r: r.look_s),
)  # fmt: skip
"""In the order of the file."""
