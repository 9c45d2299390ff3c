"""The metrics file: whole, readable by Prometheus, the same names as docs/metrics.md, and never about a person."""

import os
import re
import stat
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from heygemd.measures import (
    CACHED_KINDS,
    MEASURES,
    OUTCOMES,
    ROOT_STATES,
    SHORTAGES,
    STAGES,
    TASK_KINDS,
    THROTTLES,
    WATCHER_STATES,
)
from heygemd.metrics import metrics_text, write_metrics
from heygemd.outbox.status import RootState
from heygemd.planning.plan import TaskKind
from heygemd.scheduler import devices, tally
from heygemd.scheduler.outcome import Stage
from tests.full_vitals import GIB, NOW, bare_vitals, card, full_vitals, root

UNITS = {"_timestamp_seconds": "Unix time", "_seconds": "s", "_bytes": "bytes", "_ratio": "0…1", "_celsius": "°C"}
STRANGE = '/srv/"a" \\ b\nc # {d="e"} \udcff 片'
ROW = re.compile(r"^\| `(heygemd_\w+)` \|.*\|$", re.MULTILINE)


def read(text: bytes) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Read the text by the library's own parser, which knows nothing of ours."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


@pytest.fixture(scope="module")
def full():
    return read(metrics_text(full_vitals()))


def value(found, name: str, **labels: str) -> float:
    return found[f"heygemd_{name}", tuple(sorted(labels.items()))]


def test_every_metric_of_the_table_has_a_sample_when_everything_is_known(full) -> None:
    assert {name for name, _ in full} == {measure.name for measure in MEASURES}


def test_types_and_meanings_are_those_of_the_table() -> None:
    families = list(text_string_to_metric_families(metrics_text(full_vitals()).decode()))
    told = {family.name: (family.type, family.documentation) for family in families}
    # The parser takes the suffix of a counter away.
    assert told == {measure.name.removesuffix("_total"): (measure.kind, measure.meaning) for measure in MEASURES}


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("build_info", {"version": "0.1.0"}, 1),
        ("start_time_seconds", {}, NOW.timestamp() - 5 * 3600),
        ("written_timestamp_seconds", {}, NOW.timestamp()),
        ("paused", {}, 0),
        ("beat_age_seconds", {"loop": "desk /srv/films"}, 2),
        ("jobs", {"state": "queued"}, 14),
        ("jobs", {"state": "done"}, 900),
        ("stage_jobs", {"stage": "render"}, 2),
        ("queue_oldest_seconds", {}, 600),
        ("queue_end_timestamp_seconds", {}, NOW.timestamp() + 13200),
        ("progress_frames", {}, 75),
        ("jobs_ended_total", {"outcome": "done"}, 128),
        ("failures_total", {"code": "E131"}, 1),
        ("failures_total", {"code": "E101"}, 0),
        ("duplicates_total", {}, 4),
        ("film_seconds_total", {}, 3900.5),
        ("last_hour_films", {}, 30),
        ("last_hour_realtime_ratio", {}, 0.25),
        ("frames_rendered_total", {}, 250),
        ("tasks_total", {"kind": "finish"}, 1),
        ("stage_seconds_total", {"stage": "paint"}, 7.5),
        ("retries_total", {}, 1),
        ("shortages_total", {"code": "E301"}, 1),
        ("shortages_total", {"code": "E303"}, 0),
        ("workers", {"device": "cuda:0", "state": "busy"}, 1),
        ("workers", {"device": "cpu", "state": "leaving"}, 0),
        ("workers_resident_memory_bytes", {"device": "cuda:0"}, 4 * GIB),
        ("workers_started_total", {}, 1),
        ("workers_recycled_total", {}, 1),
        ("cache_hits_total", {"kind": "track"}, 1),
        ("cache_misses_total", {"kind": "speech"}, 2),
        ("cache_bytes", {}, 3 * GIB),
        ("memory_predictions_total", {"kind": "cuda"}, 2),
        ("memory_predictions_total", {"kind": "cpu"}, 0),
        ("memory_prediction_error_mean_ratio", {"kind": "cuda"}, 0.1),
        ("memory_prediction_worst_below_ratio", {"kind": "cuda"}, 0.1),
        ("memory_prediction_worst_above_ratio", {"kind": "cuda"}, 0.1),
        ("device_memory_size_bytes", {"device": "cuda:0"}, 139 * GIB),
        ("device_memory_free_bytes", {"device": "cuda:0"}, 98 * GIB),
        ("device_memory_others_bytes", {"device": "cuda:0"}, GIB),
        ("device_memory_budget_bytes", {"device": "cuda:0"}, 130 * GIB),
        ("device_memory_granted_bytes", {"device": "cuda:0"}, 44 * GIB),
        ("device_memory_held_bytes", {"device": "cuda:0"}, 40 * GIB),
        ("device_utilisation_ratio", {"device": "cuda:0"}, 0.71),
        ("device_temperature_celsius", {"device": "cuda:0"}, 64),
        ("device_throttled", {"device": "cuda:0", "reason": "sw_power_cap"}, 1),
        ("device_throttled", {"device": "cuda:0", "reason": "hw_slowdown"}, 0),
        ("root_info", {"root": "/srv/films", "uuid": "0b5e"}, 1),
        ("root_state", {"root": "/srv/more", "state": "offline"}, 1),
        ("root_state", {"root": "/srv/more", "state": "online"}, 0),
        ("root_watcher", {"root": "/srv/more", "state": "off"}, 1),
        ("root_needs_you", {"root": "/srv/films"}, 3),
        ("root_batches_open", {"root": "/srv/films"}, 1),
        ("root_watcher_overflows_total", {"root": "/srv/films"}, 2),
        ("root_look_duration_seconds", {"root": "/srv/films"}, 0.2),
        ("process_open_fds", {}, 55),
    ],
)
def test_figures_are_those_of_the_vitals(full, name: str, labels: dict[str, str], expected: float) -> None:
    assert value(full, name, **labels) == pytest.approx(expected)


def test_what_is_unknown_has_no_sample_and_what_is_foreseen_is_zero() -> None:
    found = read(metrics_text(bare_vitals()))
    names = {name.removeprefix("heygemd_") for name, _ in found}
    unknown = {"cache_bytes", "state_free_bytes", "queue_end_timestamp_seconds", "reloaded_timestamp_seconds"}
    assert names.isdisjoint(unknown)
    assert value(found, "failures_total", code="E500") == 0
    assert value(found, "jobs_ended_total", outcome="done") == 0
    assert value(found, "shortages_total", code="E301") == 0
    assert value(found, "queue_oldest_seconds") == 0
    assert ("heygemd_device_temperature_celsius", (("device", "cpu"),)) not in read(metrics_text(full_vitals()))


def test_troubles_of_the_daemon_are_told() -> None:
    bad = full_vitals(paused="E202: full", reload_error="unknown key", needs_restart=("state_dir", "models_dir"))
    found = read(metrics_text(bad))
    names = ("paused", "reload_refused", "restart_needed_settings")
    assert [value(found, name) for name in names] == [1, 1, 2]
    lost = read(metrics_text(full_vitals(devices=(card(is_lost=True),))))
    assert value(lost, "device_lost", device="cuda:0") == 1


def test_names_of_strangers_cannot_break_the_file() -> None:
    text = metrics_text(full_vitals(roots=(root(STRANGE),), devices=(card(name='x"\n\\'),)))
    found = read(text)
    kept = STRANGE.replace("\udcff", "%FF")
    assert value(found, "root_info", root=kept, uuid="0b5e") == 1
    assert value(found, "root_needs_you", root=kept) == 3
    starts = ("# HELP heygemd_", "# TYPE heygemd_", "heygemd_")
    assert all(line.startswith(starts) for line in text.decode().splitlines())


def test_series_are_told_once_whatever_comes_twice() -> None:
    """node_exporter complains at every scrape otherwise."""
    twice = full_vitals(roots=(root(), root(needs_you=9)), devices=(card(), card()))
    names = [line.rpartition(b" ")[0] for line in metrics_text(twice).splitlines() if not line.startswith(b"#")]
    assert [name for name, count in Counter(names).items() if count > 1] == []


def test_no_film_and_no_job_is_named() -> None:
    text = metrics_text(full_vitals()).decode()
    assert "anna" not in text
    assert "intro" not in text


def test_labels_never_collide_with_those_of_prometheus() -> None:
    labels = {label for measure in MEASURES for label in measure.labels}
    assert labels.isdisjoint({"job", "instance", "le", "quantile"})


def test_names_follow_the_conventions_of_prometheus() -> None:
    for measure in MEASURES:
        assert re.fullmatch(r"heygemd_[a-z]+(_[a-z]+)*", measure.name)
        assert (measure.kind == "counter") == measure.name.endswith("_total")
        assert measure.meaning.endswith(".")
        assert measure.name not in measure.meaning
    assert len({measure.name for measure in MEASURES}) == len(MEASURES)


def test_foreseen_labels_are_those_of_the_code() -> None:
    assert set(TASK_KINDS) == set(TaskKind)
    assert set(STAGES) == set(Stage)
    assert set(ROOT_STATES) == set(RootState)
    assert CACHED_KINDS == tally.CACHED_KINDS
    assert set(THROTTLES) == set(devices.THROTTLES.values())
    assert set(OUTCOMES) == {"done", "failed", "cancelled"}
    assert all(code in tally.Tally.note_shortage.__doc__ for code in SHORTAGES)
    assert set(WATCHER_STATES) == {"on", "dead", "off"}


def test_the_file_is_replaced_whole_and_may_be_read_by_all(tmp_path: Path) -> None:
    file = tmp_path / "heygemd.prom"
    before = os.umask(0o077)
    try:
        write_metrics(file, bare_vitals())
        write_metrics(file, full_vitals())
    finally:
        os.umask(before)
    assert file.read_bytes() == metrics_text(full_vitals())
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [entry.name for entry in tmp_path.iterdir()] == ["heygemd.prom"]


def test_a_reader_that_has_the_old_file_open_keeps_it(tmp_path: Path) -> None:
    file = tmp_path / "heygemd.prom"
    write_metrics(file, bare_vitals())
    with file.open("rb") as handle:
        write_metrics(file, full_vitals())
        assert handle.read() == metrics_text(bare_vitals())


def test_links_are_replaced_and_never_followed(tmp_path: Path) -> None:
    """Both the file's name and that of its part may have been laid as a trap."""
    victim = tmp_path / "victim"
    victim.write_text("mine")
    folder = tmp_path / "metrics"
    folder.mkdir()
    file = folder / "heygemd.prom"
    for trap in (file, folder / ".heygemd.prom.part"):
        trap.symlink_to(victim)
    write_metrics(file, full_vitals())
    assert victim.read_text() == "mine"
    assert not file.is_symlink()
    assert [entry.name for entry in folder.iterdir()] == ["heygemd.prom"]


def test_a_folder_that_is_not_there_is_an_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_metrics(tmp_path / "gone" / "heygemd.prom", full_vitals())
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_replaced_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "heygemd.prom").mkdir()
    with pytest.raises(IsADirectoryError):
        write_metrics(tmp_path / "heygemd.prom", full_vitals())
    assert [entry.name for entry in tmp_path.iterdir()] == ["heygemd.prom"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """A limit on the size of files stands for the full disk; it belongs to a process, so a child runs into it."""
    file = tmp_path / "heygemd.prom"
    write_metrics(file, bare_vitals())
    code = (
        "import resource, signal, sys; from pathlib import Path\n"
        "from heygemd.metrics import write_metrics; from tests.full_vitals import full_vitals\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN); resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "write_metrics(Path(sys.argv[1]), full_vitals())"
    )
    here = Path(__file__).resolve().parents[1]
    run = subprocess.run(
        [sys.executable, "-c", code, str(file)], cwd=here, capture_output=True, text=True, timeout=60, check=False
    )
    assert "OSError: [Errno 27]" in run.stderr
    assert file.read_bytes() == metrics_text(bare_vitals())
    assert [entry.name for entry in tmp_path.iterdir()] == ["heygemd.prom"]


def unit_of(name: str) -> str:
    bare = name.removesuffix("_total")
    return next((unit for suffix, unit in UNITS.items() if bare.endswith(suffix)), "–")


def test_the_page_lists_every_metric_and_nothing_else(repository: Path) -> None:
    page = (repository / "docs" / "metrics.md").read_text(encoding="utf-8")
    told = {match.group(1): match.group(0) for match in ROW.finditer(page)}
    wanted = {}
    for measure in MEASURES:
        labels = ", ".join(f"`{label}`" for label in measure.labels) or "–"
        cells = (f"`{measure.name}`", measure.kind, labels, unit_of(measure.name), measure.meaning)
        wanted[measure.name] = f"| {' | '.join(cells)} |"
    assert told == wanted
