"""One of the soak's days with some of its troubles (`scripts/soak.py` has more of both), and how growth is judged."""

import json
import math
import subprocess
import sys

import pytest

from tests.mounts.namespace import can_mount


@pytest.mark.mounts
@pytest.mark.ffmpeg
@pytest.mark.slow
def test_a_day_full_of_troubles_loses_doubles_and_leaves_nothing(repository, tmp_path):
    if not can_mount():
        pytest.skip("needs mounts: root and a mount namespace")
    result = tmp_path / "result.json"
    argv = [
        sys.executable,
        str(repository / "scripts/soak.py"),
        "--json",
        str(result),
        "--keep",
        str(tmp_path / "soak"),
    ]
    days = ["--rough", "1", "--steady", "0", "--troubles", "3", "--pairs", "1", "--seed", "6"]
    done = subprocess.run([*argv, *days], cwd=repository, capture_output=True, text=True, timeout=600, check=False)
    assert result.exists(), done.stdout + done.stderr
    found = json.loads(result.read_text())
    assert found["violations"] == {}, done.stdout
    assert done.returncode == 0
    assert found["totals"]["jobs"] > 30
    assert sum(count for name, count in found["totals"].items() if name.startswith("kills")) >= 2


@pytest.fixture
def soak(repository, monkeypatch):
    """The scripts' folder can be imported from."""
    monkeypatch.syspath_prepend(str(repository / "scripts"))


def test_one_slope_is_laid_through_processes_of_different_size(soak):
    from soak.gauges import fit

    slope = fit([[(0, 10.0), (100, 11.0), (200, 12.0)], [(300, 90.0), (400, 91.0)], [(500, 7.0)]])
    assert slope.per_1000 == pytest.approx(10)
    assert slope.error == pytest.approx(0, abs=1e-9)
    assert slope.points == 5
    assert slope.is_above(9)
    assert not slope.is_above(11)


def test_noise_is_no_growth_and_three_points_are_no_line(soak):
    from soak.gauges import fit

    noisy = fit([[(0, 10.0), (100, 14.0), (200, 9.0), (300, 13.0), (400, 11.0), (500, 12.0)]])
    assert noisy.per_1000 > 0
    assert not noisy.is_above(0)
    assert not fit([[(0, 1.0), (100, 2.0), (200, 3.0)]]).is_above(0)
    assert math.isinf(fit([[(0, 1.0)], []]).error)


def story_of(*, daemon_bytes, share_bytes):
    """Six evenings, a hundred jobs a day."""
    from soak.days import Story
    from soak.gauges import Reading, Sizes

    story = Story()
    for day in range(1, 7):
        about = {"day": day, "ended": 100 * day}
        story.readings.append(
            Reading(
                **about, role="daemon", pid=7, anonymous_bytes=daemon_bytes(day), pss_bytes=9, descriptors=20, threads=1
            )
        )
        rest = dict.fromkeys(("processes", "pss_bytes", "share_files", "state_files", "log_bytes", "store_rows"), 9)
        sizes = {"share_bytes": share_bytes(day), "state_bytes": 1000 * day, "store_bytes": 1000 * day}
        story.sizes.append(Sizes(**about, **sizes, **rest))
    return story


def test_a_daemon_that_stays_as_it_is_does_not_grow(soak):
    from soak.growth import growths, table

    flat = growths(
        story_of(daemon_bytes=lambda day: 60_000_000 + day % 2 * 100_000, share_bytes=lambda day: 9), first_day=1
    )
    assert [growth.name for growth in flat if growth.is_too_much] == []
    assert {growth.points for growth in flat} == {5}
    assert "TOO MUCH" not in table([{"is_too_much": growth.is_too_much, **fields(growth)} for growth in flat])


def test_what_grows_is_named(soak):
    from soak.growth import growths

    story = story_of(daemon_bytes=lambda day: 60_000_000 + day * 1_000_000, share_bytes=lambda day: day * 50_000)
    assert [growth.name for growth in growths(story, first_day=1) if growth.is_too_much] == [
        "daemon, anonymous_bytes", "share_bytes",
    ]  # fmt: skip


def test_a_process_has_its_first_evening_to_warm_up_in(soak):
    from soak.gauges import lines_by_process

    readings = story_of(daemon_bytes=lambda day: day, share_bytes=lambda day: 9).readings
    assert lines_by_process(readings, "daemon", "anonymous_bytes") == [[(100 * day, day) for day in range(2, 7)]]
    assert lines_by_process(readings[:1], "daemon", "anonymous_bytes") == []


@pytest.mark.parametrize("leak", ["memory", "descriptors", "work", "originals", "steps"])
def test_a_leak_can_be_planted_in_the_daemon_as_it_is(soak, monkeypatch, leak):
    from soak import leaks

    places = [
        (leaks.JobStore, "move"),
        (leaks.Scheduler, "discard_work"),
        (leaks.retention.Endings, "delete_what_is_over"),
        (leaks.EventLog, "_append"),
    ]
    before = [getattr(*place) for place in places]
    for place, method in zip(places, before, strict=True):
        monkeypatch.setattr(*place, method)  # is put back behind the test
    leaks.LEAKS[leak]()
    assert sum(getattr(*place) is not method for place, method in zip(places, before, strict=True)) == 1


def fields(growth):
    """As the JSON has it."""
    from dataclasses import asdict

    return asdict(growth)
