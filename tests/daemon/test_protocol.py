"""What people may do with a folder alone, tried on a real daemon: every line of docs/drop-protocol.md that needs one.

One daemon serves all tests of this module; each has a folder of its own. The passthrough engine keeps films cheap.
"""

import csv
import hashlib
import io
import json
import shutil
import signal
import subprocess
import time
import wave
import zipfile

import pytest

from heygemd.jobs.states import JobState
from heygemd.jobs.store import JobStore

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

MORE = """
settle_scans = 2
reserve_mib = 0
orphan_notice_s = 0.5
"""


@pytest.fixture(scope="module")
def clip(tmp_path_factory, pair):
    """A film of ten frames; `distinct` makes as many different ones as are wanted."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    make = ["ffmpeg", "-v", "error", "-nostdin", "-f", "lavfi", "-i", "testsrc2=size=64x64:rate=25:duration=0.4"]
    subprocess.run([*make, "-pix_fmt", "yuv420p", "-c:v", "libx264", str(path)], check=True)
    return path


class Shop:
    """A workshop with a running daemon, and what people do there."""

    def __init__(self, workshop, clip):
        self.workshop, self.clip = workshop, clip
        self.root = workshop.root
        self.daemon = workshop.start()
        self.number = 0

    def folder(self, name, config=""):
        place = self.root.inbox / name
        place.mkdir(parents=True, exist_ok=True)
        if config:
            (place / ".heygemd.toml").write_text(config)
        return place

    def video(self, path):
        """A picture whose bytes nobody else has: a `free` box at the end tells them apart."""
        self.number += 1
        box = b"free" + self.number.to_bytes(8) + path.name.encode()
        path.write_bytes(self.clip.read_bytes() + (len(box) + 4).to_bytes(4) + box)
        return path

    def audio(self, path, seconds=0.4):
        self.number += 1
        step = 100 + self.number
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            tone = b"".join((((i * step) % 20000) - 10000).to_bytes(2, "little", signed=True) for i in range(6400))
            file.writeframes(tone * max(1, round(seconds / 0.4)))
        return path

    def pair(self, folder, name):
        return self.video(folder / f"{name}.mp4"), self.audio(folder / f"{name}.wav")

    def wait(self, condition, limit_s=45):
        return self.workshop.wait_for(condition, self.daemon, limit_s)

    def film(self, path):
        """Wait for a film; returns its report."""
        film = self.root.outbox / path
        self.wait(film.exists)
        return json.loads((film.parent / f"{film.name}.json").read_text())

    def job(self, **wanted):
        with JobStore.open_readonly(self.workshop.state / "jobs.sqlite") as store:
            found = [job for job in store.jobs() if all(getattr(job, key) == value for key, value in wanted.items())]
        return found[-1] if found else None

    def done_of(self, name):
        with JobStore.open_readonly(self.workshop.state / "jobs.sqlite") as store:
            return [job for job in store.jobs(JobState.DONE) if job.name == name]

    def failed(self, name):
        """Wait for a folder in failed/ with its reason."""
        return self.wait(
            lambda: next((one for one in self.root.failed.glob(f"{name}__*") if (one / "REASON.txt").exists()), None)
        )

    def text(self, path):
        """Wait for a text that the daemon writes for people."""
        return self.wait(lambda: path.exists() and path.read_text("utf-8-sig"))

    def report(self, name):
        path = self.root.status / "manifests" / f"{name}.report.json"
        return json.loads(path.read_text()) if path.exists() else {"complete": False, "rows": []}


@pytest.fixture(scope="module")
def shop(tmp_path_factory, open_workshop, clip):
    workshop = open_workshop(tmp_path_factory.mktemp("shop"))
    workshop.config.write_text(workshop.config.read_text().replace("[render]", MORE + "[render]"))
    shop = Shop(workshop, clip)
    yield shop
    shop.daemon.send_signal(signal.SIGTERM)
    assert shop.daemon.wait(60) == 0


# Three ways to submit ------------------------------------------------------------------------------------------------


def test_one_presenter_speaks_every_lone_sound_of_the_folder(shop):
    folder = shop.folder("presenter")
    default = shop.video(folder / "_default.mp4")
    for name in ("first", "second"):
        shop.audio(folder / f"{name}.wav")
    reports = [shop.film(f"presenter/{name}.mp4") for name in ("first", "second")]
    assert [report["inputs"]["video"]["name"] for report in reports] == ["_default.mp4"] * 2
    assert default.exists(), "a shared input is never moved away"
    shop.wait(lambda: list(shop.root.done.glob("*/first__*")))
    (archived,) = shop.root.done.glob("*/first__*")
    assert "_default.mp4" not in {path.name for path in archived.iterdir()}


def test_one_speech_is_given_to_every_lone_picture_of_the_folder(shop):
    folder = shop.folder("speech")
    shop.audio(folder / "_default.wav")
    shop.video(folder / "anna.mp4")
    assert shop.film("speech/anna.mp4")["inputs"]["audio"]["name"] == "_default.wav"


def test_a_job_folder_with_one_pair_is_named_after_the_folder(shop):
    folder = shop.folder("clients/Spring.job")
    shop.video(folder / "whatever.mp4")
    shop.audio(folder / "speech.wav")
    (folder / "notes.txt").write_text("for the archive")
    assert shop.film("clients/Spring.mp4")["name"] == "Spring"
    (archived,) = shop.wait(lambda: list(shop.root.done.glob("*/Spring__*")))
    assert {path.name for path in archived.iterdir()} >= {"whatever.mp4", "speech.wav", "notes.txt"}
    assert not folder.exists()


def test_a_job_folder_with_one_sound_and_several_pictures_is_a_batch(shop):
    folder = shop.folder("Faces.job")
    shop.audio(folder / "speech.wav")
    for name in ("anna", "ben"):
        shop.video(folder / f"{name}.mp4")
    (folder / "job.toml").write_text("[options]\ncrf = 30\n")
    reports = [shop.film(f"Faces/{name}.mp4") for name in ("anna", "ben")]
    assert [report["options"]["crf"] for report in reports] == [30, 30]
    shop.wait(lambda: not list(shop.root.processing.glob("Faces__*")))
    assert not folder.exists()


def test_a_csv_with_bad_rows_makes_the_good_ones_and_names_the_bad(shop):
    folder = shop.folder("lines")
    shop.video(folder / "anna.mp4")
    rows = ["id,video,audio"]
    for number in range(1, 9):
        if number in (3, 6):
            rows.append(f"ep{number:02d},anna.mp4,../ep{number:02d}.wav")
        else:
            shop.audio(folder / f"ep{number:02d}.wav")
            rows.append(f"ep{number:02d},anna.mp4,ep{number:02d}.wav")
    (folder / "lines.heygem.csv").write_text("\n".join(rows) + "\n")
    shop.wait(lambda: shop.report("lines/lines")["complete"], 90)
    told = shop.report("lines/lines")
    states = {row["id"]: (row["state"], row["error_code"], row["line"]) for row in told["rows"]}
    assert {key: state for key, state in states.items() if state[0] != "done"} == {
        "ep03": ("refused", "E126", 4), "ep06": ("refused", "E126", 7),
    }  # fmt: skip
    assert sorted(path.name for path in (shop.root.outbox / "lines/lines").glob("*.mp4")) == [
        f"ep{number:02d}.mp4" for number in (1, 2, 4, 5, 7, 8)
    ]
    shop.wait(lambda: not list(shop.root.processing.glob("lines__*")))
    assert not (folder / "anna.mp4").exists(), "members are archived after the last row"
    (archived,) = shop.root.done.glob("*/lines__*")
    assert {"anna.mp4", "lines.heygem.csv"} <= {path.name for path in archived.iterdir()}
    text = (shop.root.status / "manifests/lines/lines.report.csv").read_bytes().decode("utf-8-sig")
    assert len(list(csv.DictReader(io.StringIO(text)))) == 8


def test_a_row_waits_for_its_files_and_a_declared_sum_skips_the_wait(shop):
    folder = shop.folder("later")
    shop.video(folder / "face.mp4")
    sound = shop.audio(shop.workshop.folder / "late.wav").read_bytes()
    row = {"id": "a", "video": "face.mp4", "audio": "late.wav"}
    row["sha256"] = {"audio": hashlib.sha256(sound).hexdigest()}
    row["size"] = {"audio": len(sound)}
    (folder / "m.heygem.json").write_text(json.dumps({"heygem": 1, "bundle": True, "jobs": [row]}))
    waits = shop.wait(lambda: [row["message"] for row in shop.report("later/m")["rows"] if row["message"]])
    assert waits == ["waiting for later/late.wav"]
    (folder / "late.wav").write_bytes(sound)
    report = shop.film("later/m/a.mp4")
    assert "committed by manifest" in report["inputs"]["audio"]["evidence"]
    bundle = shop.root.outbox / "later/m.zip"
    shop.wait(bundle.exists)
    with zipfile.ZipFile(bundle) as pack:
        assert pack.testzip() is None
        assert any(name.endswith("a.mp4") for name in pack.namelist())
    assert (shop.root.outbox / "later/m.report.json").exists()


def test_an_id_that_was_made_is_not_made_again_though_its_files_are_gone(shop):
    folder = shop.folder("again")
    shop.pair(folder, "one")
    text = json.dumps({"heygem": 1, "jobs": [{"id": "x1", "video": "one.mp4", "audio": "one.wav"}]})
    (folder / "list.heygem.json").write_text(text)
    shop.film("again/list/x1.mp4")
    shop.wait(lambda: not list(shop.root.processing.glob("list__*")))
    (folder / "list.heygem.json").write_text(text)
    shop.wait(lambda: (shop.report("again/list")["rows"] or [{}])[0].get("duplicate_of"))
    shop.wait(lambda: shop.report("again/list")["complete"])
    assert shop.report("again/list")["rows"][0]["state"] == "done"
    assert [path.name for path in (shop.root.outbox / "again/list").glob("*.mp4")] == ["x1.mp4"]


def test_a_manifest_that_cannot_be_read_fails_with_line_and_column(shop):
    folder = shop.folder("broken")
    (folder / "bad.heygem.json").write_text('{"heygem": 1,\n "jobs": [}')
    failed = shop.failed("bad")
    reason = (failed / "REASON.txt").read_bytes().decode("utf-8-sig")
    assert "E121" in reason
    assert "line 2" in reason
    assert (failed / "bad.heygem.json").exists()


def test_one_bad_row_stops_a_strict_manifest(shop):
    folder = shop.folder("strict")
    shop.pair(folder, "good")
    jobs = [{"id": "g", "video": "good.mp4", "audio": "good.wav"}, {"id": "b", "video": "/etc/x.mp4", "audio": "y.wav"}]
    (folder / "s.heygem.json").write_text(json.dumps({"heygem": 1, "strict": True, "jobs": jobs}))
    shop.wait(lambda: shop.report("strict/s")["complete"])
    assert [row["error_code"] for row in shop.report("strict/s")["rows"]] == ["E129", "E126"]
    assert not (shop.root.outbox / "strict/s").exists()


# Acts with files -----------------------------------------------------------------------------------------------------


def test_what_is_deleted_before_the_claim_is_forgotten(shop):
    folder = shop.folder("withdrawn", "settle_s = 30\nsettle_unsure_s = 30\n")
    for path in shop.pair(folder, "gone"):
        time.sleep(0.3)
        path.unlink()
    shop.pair(shop.folder("after"), "marker")
    shop.film("after/marker.mp4")
    assert shop.job(name="gone") is None


def test_cancel_is_obeyed_within_five_seconds_for_waiting_and_for_running_jobs(shop):
    folder = shop.folder("slow")
    shop.video(folder / "long.mp4")
    shop.audio(folder / "long.wav", seconds=600)
    shop.wait(lambda: shop.job(name="long", state=JobState.RUNNING))
    shop.pair(folder, "behind")
    shop.wait(lambda: shop.job(name="behind"))
    (claim,) = shop.root.processing.glob("long__*")
    assert "CANCEL" in shop.text(claim / "STATUS.txt")
    start = time.monotonic()
    (claim / "CANCEL").touch()
    shop.wait(lambda: shop.job(name="long", state=JobState.CANCELLED), 10)
    assert time.monotonic() - start < 5
    failed = shop.failed("long")
    assert {"long.mp4", "long.wav", "REASON.txt", "error.json"} <= {path.name for path in failed.iterdir()}
    shop.film("slow/behind.mp4")
    assert not list(shop.root.outbox.glob("slow/long*"))


def test_moving_the_folder_away_cancels_the_job(shop):
    folder = shop.folder("taken")
    shop.video(folder / "away.mp4")
    shop.audio(folder / "away.wav", seconds=600)
    shop.wait(lambda: shop.job(name="away", state=JobState.RUNNING))
    (claim,) = shop.root.processing.glob("away__*")
    claim.rename(shop.workshop.folder / "mine")
    shop.wait(lambda: shop.job(name="away", state=JobState.CANCELLED), 10)
    assert (shop.workshop.folder / "mine" / "away.wav").exists()


def test_taking_an_input_out_of_the_folder_cancels_the_job(shop):
    folder = shop.folder("taken")
    shop.video(folder / "part.mp4")
    shop.audio(folder / "part.wav", seconds=600)
    claim = shop.wait(lambda: shop.job(name="part", state=JobState.RUNNING)).claim_dir
    (claim / "part.wav").rename(shop.workshop.folder / "part.wav")
    shop.wait(lambda: shop.job(name="part", state=JobState.CANCELLED), 10)
    assert (shop.failed("part") / "part.mp4").exists()


def test_a_failed_folder_moved_back_runs_again_and_its_attempts_go_on(shop):
    folder = shop.folder("retry")
    (folder / "clip.mp4").write_bytes(b"\x00\x00\x00\x18ftypmp42" + b"\x00" * 4000)
    shop.audio(folder / "clip.wav")
    failed = shop.failed("clip")
    before = json.loads((failed / "error.json").read_text())
    shop.video(failed / "clip.mp4")
    failed.rename(shop.root.inbox / "retry" / failed.name)
    report = shop.film("retry/clip.mp4")
    assert report["job"] == before["job"]
    assert report["attempts"] == before["attempts"] + 1
    (archived,) = shop.wait(lambda: list(shop.root.done.glob("*/clip__*")))
    assert not {"error.json", "REASON.txt"} & {path.name for path in archived.iterdir()}


def test_the_same_bytes_again_are_not_computed_twice(shop):
    folder = shop.folder("twice")
    video, audio = shop.pair(folder, "one")
    copies = shop.workshop.folder / "copies"
    copies.mkdir()
    for path in (video, audio):
        shutil.copy(path, copies / path.name)
    first = shop.film("twice/one.mp4")
    for path in copies.iterdir():
        shutil.copy(path, folder / path.name)
    shop.wait(lambda: len(shop.done_of("one")) == 2)
    assert [path.name for path in (shop.root.outbox / "twice").glob("*.mp4")] == ["one.mp4"]
    for path in copies.iterdir():
        shutil.copy(path, folder / path.name.replace("one", "other"))
    second = shop.film("twice/other.mp4")
    assert (second["sha256"], second["duplicate_of"]) == (first["sha256"], first["job"])
    assert not [line for line in shop.workshop.named("task.done") if line["job_id"] == second["job"]]
    for result in (shop.root.outbox / "twice").iterdir():
        result.unlink()
    for path in copies.iterdir():
        shutil.copy(path, folder / path.name)
    assert shop.film("twice/one.mp4")["sha256"] == first["sha256"], "a result that is missing is made again"


def test_new_bytes_under_an_old_name_become_a_second_version(shop):
    folder = shop.folder("versions")
    shop.pair(folder, "film")
    shop.film("versions/film.mp4")
    shop.pair(folder, "film")
    shop.film("versions/film.v2.mp4")


def test_a_folder_file_changes_what_is_made_there_and_a_wrong_one_is_explained(shop):
    folder = shop.folder("tuned", "priority = 3\nkeep_days = 5\n[options]\ncrf = 31\n")
    shop.pair(folder, "a")
    assert shop.film("tuned/a.mp4")["options"]["crf"] == 31
    (folder / ".heygemd.toml").write_text("prioritty = 3\n")
    assert "priority" in shop.text(folder / "CONFIG-ERROR.txt")
    shop.pair(folder, "b")
    assert shop.film("tuned/b.mp4")["options"]["crf"] == 31, "the last good file stays in force"
    (folder / ".heygemd.toml").write_text("[options]\ncrf = 29\n")
    shop.wait(lambda: not (folder / "CONFIG-ERROR.txt").exists())
    shop.pair(folder, "c")
    assert shop.film("tuned/c.mp4")["options"]["crf"] == 29


def test_a_folder_that_wants_commits_takes_nothing_else(shop):
    folder = shop.folder("committed", "require_commit = true\n")
    shop.pair(folder, "plain")
    shop.pair(folder, "marked")
    (folder / "marked.ready").touch()
    for path in shop.pair(folder, ".hidden"):
        shop.wait(lambda: True)
        time.sleep(1.0)
        path.rename(folder / path.name.removeprefix("."))
    assert "committed by marker" in shop.film("committed/marked.mp4")["inputs"]["audio"]["evidence"]
    assert "committed by rename" in shop.film("committed/hidden.mp4")["inputs"]["audio"]["evidence"]
    assert not (folder / "marked.ready").exists()
    assert (folder / "plain.mp4").exists()


def test_a_lone_file_is_failed_when_its_time_is_up(shop):
    folder = shop.folder("orphans", "orphan_timeout_s = 1.5\n")
    shop.audio(folder / "alone.wav")
    failed = shop.failed("alone")
    assert json.loads((failed / "error.json").read_text())["error"]["code"] == "E102"
    assert (failed / "alone.wav").exists()


def test_every_transition_has_one_line_in_the_event_log(shop):
    lines = [json.loads(line) for line in (shop.workshop.state / "events.jsonl").read_text().splitlines()]
    seqs = [line["seq"] for line in lines]
    assert seqs == list(range(1, len(seqs) + 1))

    def exported():
        with JobStore.open_readonly(shop.workshop.state / "jobs.sqlite") as store:
            events = [(event.seq, event.job_id, event.state.value) for event in store.events()]
        text = (shop.workshop.state / "events.jsonl").read_text().splitlines()
        return events == [(line["seq"], line["job"], line["state"]) for line in map(json.loads, text)]

    shop.wait(exported, 10)
