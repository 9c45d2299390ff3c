"""`heygemd jobs` and `heygemd show`, as people and scripts see them."""

import io
import json
import os
import re
import time
from datetime import UTC, datetime, timedelta

import pytest
from rich.console import Console

from heygemd.commands.tables import Column, duration, local_time, print_table
from heygemd.jobs.batch import Batch, BatchKind, Row, Wanted
from heygemd.jobs.job import BatchRow
from heygemd.jobs.states import JobState
from heygemd.vitals import RootVitals, Vitals, write_vitals
from tests.jobs.conftest import NOW as THEN

OK, USAGE, SETUP = 0, 2, 78
NASTY = "evil\x1b[31m\nred[bold]x[/]\u202egnp"


def test_jobs_lists_what_there_is_the_newest_first(call, house):
    house.add("first", "running", "done")
    bad = house.add("second", "failed", code="E131", message="no face", folder="show/a")
    found = call("jobs", *house.where)
    assert found.exit_code == OK
    head, newest, oldest = found.stdout.splitlines()
    assert head.split() == ["state", "film", "what", "came", "job"]
    assert newest.split()[:5] == ["failed", "show/a/second", "E131", "no", "face"]
    assert newest.endswith(bad.id)
    assert oldest.startswith("done")


def test_in_a_pipe_nothing_is_cut_folded_coloured_or_padded(call, house, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    job = house.add("x" * 200, "failed", code="E110", message="y" * 300)
    found = call("jobs", *house.where)
    assert "\x1b" not in found.stdout
    lines = found.stdout.splitlines()
    assert len(lines) == 2
    assert "x" * 200 in lines[1]
    assert "y" * 300 in lines[1]
    assert lines[1].endswith(job.id)
    assert found.stderr == ""


def test_json_is_an_array_of_plain_objects(call, house):
    house.add("a", "running")
    house.add("b")
    rows = json.loads(call("jobs", *house.where, "--json").stdout)
    assert [row["name"] for row in rows] == ["b", "a"]
    assert {"id", "state", "folder", "queued_at", "error_code", "output", "film_s"} <= set(rows[0])
    assert json.loads(call("jobs", *house.where, "--json", "--state", "done").stdout) == []


@pytest.mark.parametrize(
    ("words", "names"),
    [
        (["--state", "queued"], ["wait"]), (["-s", "queued", "-s", "failed"], ["wait", "old", "bad"]),
        (["--code", "e131"], ["bad"]), (["--name", "*a*"], ["wait", "bad"]), (["--folder", "/show/"], ["bad"]),
        (["--since", "1h"], ["wait", "bad"]), (["-n", "1"], ["wait"]), (["--all"], ["wait", "old", "bad"]),
        (["--since", "1h", "--state", "failed"], ["bad"]),
    ],
    ids=str,
)  # fmt: skip
def test_the_list_is_narrowed(call, house, words, names):
    house.add("old", "failed", code="E101", age=timedelta(hours=3))
    house.add("bad", "failed", code="E131", folder="show/a", age=timedelta(minutes=30))
    house.add("wait")
    rows = json.loads(call("jobs", *house.where, *words, "--json").stdout)
    assert {row["name"] for row in rows} == set(names)


def test_more_than_are_shown_is_said_on_stderr(call, house):
    for number in range(3):
        house.add(f"film {number}")
    found = call("jobs", *house.where, "-n", "2")
    assert len(found.stdout.splitlines()) == 3
    assert "--all" in found.stderr
    assert call("jobs", *house.where, "-n", "3").stderr == ""


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["--state", "fialed"], "did you mean failed?"), (["--code", "E13"], "did you mean E1"),
        (["--since", "yesterday"], "neither an age"), (["--batch", "nobody"], "no manifest or job folder 'nobody'"),
        (["--limit", "0"], "--limit"),
    ],
    ids=str,
)  # fmt: skip
def test_words_that_are_not_understood_get_a_hint(call, house, words, hint):
    found = call("jobs", *house.where, *words)
    assert (found.exit_code, found.stdout) == (USAGE, "")
    assert hint in " ".join(found.stderr.split())


def test_a_name_can_neither_break_the_table_nor_colour_it(call, house):
    house.add(NASTY, "failed", code="E131", message="line 1\nline 2\x1b[0m[/]")
    found = call("jobs", *house.where)
    assert len(found.stdout.splitlines()) == 2
    assert "\x1b" not in found.stdout
    assert "\u202e" not in found.stdout
    assert "evil%1B[31m%0Ared[bold]x[/]" in found.stdout
    assert "line 1 line 2%1B[0m[/]" in found.stdout
    (row,) = json.loads(call("jobs", *house.where, "--json").stdout)
    assert row["name"] == NASTY, "a program reads the name as it is"
    shown = call("show", row["id"], *house.where)
    assert "\x1b" not in shown.stdout
    assert "\u202e" not in shown.stdout


def test_chinese_is_spoken_where_it_is_read(call, house, monkeypatch):
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    job = house.add("你好", "failed", code="E131", message="no face")
    found = call("jobs", *house.where)
    assert found.stdout.splitlines()[0].split() == ["状态", "视频", "情况", "收到", "任务"]
    assert "失败" in found.stdout
    shown = call("show", job.id, *house.where).stdout
    assert "如何处理" in shown
    assert "画面中未找到可用的人脸" in shown or "人脸" in shown
    rows = json.loads(call("jobs", *house.where, "--json").stdout)
    assert rows[0]["state"] == "failed", "a program always reads the same words"


def table_on(width, *, rows, **how):
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=True, **how)
    columns = (Column(title="state", is_whole=True), Column(title="film"), Column(title="job", is_whole=True))
    print_table(console, columns, rows)
    return out.getvalue()


def test_on_a_narrow_terminal_long_names_are_folded_and_ids_are_whole():
    text = table_on(40, rows=[("failed", "word " * 20, "aaaaaaaa"), ("done", "short", "cccccccc")], no_color=True)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    assert all(len(line) <= 40 for line in lines)
    assert sum("aaaaaaaa" in line for line in lines) == 1
    assert len(lines) > 3
    assert text.count("word") == 20


def test_no_color_is_respected(monkeypatch):
    from heygemd.commands.tables import state_text

    rows = [(state_text("failed"), "film", "aaaaaaaa")]
    assert "\x1b[1;31m" in table_on(80, rows=rows, color_system="standard")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "31m" not in table_on(80, rows=rows)


def test_lengths_and_sizes_and_times_are_told_in_words():
    assert [duration(s) for s in (None, 0.44, 12, 185, 7500)] == ["", "0.4 s", "12 s", "3:05 min", "2:05:00 h"]
    assert local_time("") == ""
    assert local_time("2026-03-01T11:00:00.000Z")[:8] == "2026-03-"


# Which store --------------------------------------------------------------------------------------------------------


def test_without_anything_it_is_said_what_to_give(call):
    for words in (["jobs"], ["show", "x"], ["retry", "--failed"], ["cancel", "x"], ["prune"]):
        found = call(*words)
        assert found.exit_code == SETUP
        assert "--root DIR, --config FILE or --state-dir DIR" in " ".join(found.stderr.split())


def test_stores_of_the_same_user_are_offered(call, house, tmp_path):
    place = tmp_path / "xdg" / "heygemd" / house.root.uuid
    place.parent.mkdir(parents=True)
    house.state_dir.rename(place)
    assert f"--state-dir {place}" in " ".join(call("jobs").stderr.split())
    assert call("jobs", "--root", house.root.path).exit_code == OK, "the root says where its state lies"


def test_the_state_directory_alone_is_enough_and_a_configuration_too(call, house):
    house.add("film")
    for where in (house.where, ("-c", house.config), ("--root", house.root.path, *house.where)):
        assert "film" in call("jobs", *where).stdout, where


def test_a_root_of_the_configuration_narrows_the_list(call, house, tmp_path, monkeypatch):
    other = "11111111-1111-1111-1111-111111111111"
    house.add("mine")
    house.add("theirs", root=other)
    monkeypatch.setenv("HEYGEMD_CONFIG", str(house.config))
    assert {row["name"] for row in json.loads(call("jobs", "--json").stdout)} == {"mine", "theirs"}
    rows = json.loads(call("jobs", "--root", house.root.path, "--json").stdout)
    assert [(row["name"], row["root"]) for row in rows] == [("mine", str(house.root.path))]


def test_no_store_and_no_root_are_faults_of_the_set_up(call, tmp_path):
    found = call("jobs", "--state-dir", tmp_path / "absent")
    assert found.exit_code == SETUP
    assert "no job store" in found.stderr
    found = call("jobs", "--root", tmp_path / "absent", "--json")
    assert found.exit_code == SETUP
    assert json.loads(found.stdout)["error"]["code"] == "E401"
    assert not (tmp_path / "absent").exists()


def test_a_store_of_another_user_is_e407(call, house, monkeypatch):
    real = os.access
    forbidden = house.state_dir / "jobs.sqlite"
    monkeypatch.setattr(os, "access", lambda path, *how, **more: path != forbidden and real(path, *how, **more))
    found = call("jobs", *house.where)
    assert found.exit_code == SETUP
    assert found.stderr.startswith("E407")
    assert "sudo" in found.stderr


# Show ---------------------------------------------------------------------------------------------------------------


def test_show_tells_everything_about_a_failed_film(call, house):
    job = house.add("film", "running", "failed", code="E131", message="no face in 25 frames", folder="show")
    for word in (job.id, job.id8, "film"):
        found = call("show", word, *house.where, "--root", house.root.path)
        assert found.exit_code == OK
    text = found.stdout
    assert "show/film  failed" in text
    assert "E131" in text
    assert "no face in 25 frames" in text
    assert "looks roughly at the camera" in text, "the advice"
    assert "sha256 ab" in text
    assert "1920x1080 h264 29.97 fps" in text
    assert text.count("attempt 1") == 2
    told = json.loads(call("show", job.id, *house.where, "--json").stdout)
    assert [step["state"] for step in told["history"]] == ["queued", "running", "failed"]


def test_show_says_where_a_waiting_film_stands(call, house):
    house.add("first", turn=1.0)
    job = house.add("second", turn=2.0)
    assert "2 in its folder, 2 among all" in call("show", job.id, *house.where).stdout


def test_several_films_of_one_name_are_candidates(call, house):
    ids = [house.add("film").id, house.add("film").id]
    found = call("show", "film", *house.where)
    assert found.exit_code == USAGE
    assert all(job_id in found.stderr for job_id in ids)
    assert found.stdout == ""
    told = json.loads(call("show", "film", *house.where, "--json").stdout)
    assert {one["job"] for one in told["candidates"]} == set(ids)


def test_nothing_of_that_name_is_said_with_what_to_do(call, house):
    found = call("show", "nobody", *house.where)
    assert found.exit_code == USAGE
    assert "heygemd jobs" in found.stderr


def test_show_lists_the_rows_of_a_manifest(call, house):
    rows = tuple(
        Row(number=n, video=Wanted(path="v.mp4"), audio=Wanted(path=f"{n}.wav"), film_name=str(n)) for n in (1, 2)
    )
    batch = Batch(
        id="20260101T000000000-bbbbbbbbcc", root=house.root.uuid, kind=BatchKind.MANIFEST, name="lines", folder="",
        claim_dir=house.root.processing / "lines", accepted_at=THEN, rows=rows,
    )  # fmt: skip
    with house.open() as store:
        store.add_batch(batch)
    job = house.add("1", "failed", code="E132", message="silent", row=BatchRow(batch=batch.id, number=1))
    text = call("show", "lines", *house.where).stdout
    assert "1 waiting, 1 failed" in text
    assert "E132 silent" in text
    assert job.id in text
    assert [row["state"] for row in json.loads(call("show", batch.id, *house.where, "--json").stdout)["rows"]] == [
        "failed", "waiting",
    ]  # fmt: skip
    listed = json.loads(call("jobs", "--batch", "lines", *house.where, "--json").stdout)
    assert [row["id"] for row in listed] == [job.id]


def test_a_root_that_the_daemon_calls_offline_is_not_looked_at(call, house):
    job = house.add("film", "failed", code="E131")
    folder = house.root.failed / f"film__{job.id8}"
    folder.mkdir()
    (folder / "error.json").write_text(json.dumps({"heygemd_report": 1, "job": job.id}))
    assert str(folder) in call("show", job.id, "-c", house.config).stdout
    away = RootVitals(path=str(house.root.path), uuid=house.root.uuid, state="offline")
    now = datetime.now(UTC)
    vitals = Vitals(written_at=now, started_at=now, pid=1, host="h", version="0", status="", roots=(away,))
    write_vitals(house.state_dir, vitals)
    found = call("show", job.id, "-c", house.config)
    assert str(folder) not in found.stdout
    assert "the root is away" in found.stdout


def test_a_list_of_a_long_history_is_quick(call, house):
    house.add("film")
    with house.open() as store, store._db.transaction():
        store._db.execute(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000) "
            "INSERT INTO job (id, root, name, folder, state, video, audio, options, queued_at, not_before, priority, "
            "attempts, strikes) SELECT printf('20200101T%09d-aaaaaaaaaa', i), root, name, folder, 'done', video, "
            "audio, options, queued_at, not_before, 0, 1, 0 FROM job, n"
        )
    start_s = time.process_time()
    assert len(json.loads(call("jobs", *house.where, "--json").stdout)) == 50
    assert time.process_time() - start_s < 0.5
    assert JobState.DONE.value in call("jobs", *house.where, "-s", "done", "-n", "1").stdout
