"""The first kind of work: what is found out about a picture and a sound, and what of it is kept for the next job."""

import os
import subprocess
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from structlog.testing import capture_logs

from heygemd.errors import InputError
from heygemd.filesystem import sha256_of
from heygemd.outbox.retention import sweep_cache
from heygemd.planning.plan import Analysis, from_json
from heygemd.render import analysis as analysis_module
from heygemd.render.analysis import analyse
from heygemd.render.cache import load_arrays
from heygemd.render.faces.crowd import Crowd
from heygemd.render.faces.track import FaceTrack
from heygemd.render.passthrough import Passthrough
from heygemd.render.pulse import unheard
from tests.render.conftest import LIMITS
from tests.render.tasks_rig import Darken, files_of

pytestmark = pytest.mark.ffmpeg


FACE = np.random.default_rng(7).random((74, 2)).astype(np.float32) * 40


class Tracker:
    """Stands for `track_crowd`: sees two faces, side by side, in the frames `seen`."""

    def __init__(self, seen=range(1000)):
        self.seen, self.calls = seen, 0

    def __call__(self, frames, progress, *, scratch=None, device="cpu"):
        self.calls += 1
        pts = np.array([pts_s for pts_s, _ in frames])
        progress(len(pts))
        seen = np.repeat([i for i in range(len(pts)) if i in self.seen], 2).astype(np.int32)
        person = np.tile(np.array([0, 1], np.int32), len(seen) // 2)
        return Crowd(
            pts_s=pts,
            scene=np.zeros(len(pts), np.int32),
            size_px=np.array([200, 100], np.int32),
            frame=seen,
            person=person,
            points=FACE + person[:, None, None] * np.float32([100, 0]),
            confidence=np.ones(len(seen), np.float32),
            lips_visible=np.ones(len(seen), np.float32),
            skin=np.full((len(seen), 16, 3), 100, np.uint8),
        )


class Student(Darken):
    """Notes what it is given to study."""

    studies = True

    def __init__(self):
        super().__init__()
        self.studied = []

    def study(self, footage, pulse=unheard):
        pulse()
        frames = [int(planes.mean()) for planes in footage.read([2, 5])]
        self.studied.append(footage)
        heard = footage.hear()
        return {"frames": np.array(frames), "left": footage.track.points[0, :, 0].min(keepdims=True),
                "heard": np.array([-1 if heard is None else len(heard)])}  # fmt: skip


@pytest.fixture
def tracker(monkeypatch):
    stand_in = Tracker()
    monkeypatch.setattr(analysis_module, "track_crowd", stand_in)
    return stand_in


def test_an_analysis_leaves_its_three_files_and_no_raw_sound(order, quiet):
    analysis, seconds, cached = analyse(order, Passthrough(), LIMITS, quiet)
    assert cached == ()
    assert (analysis.tick_count, analysis.source_frames, analysis.face_frames) == (10, 10, 0)
    assert files_of(order) == ["analysis.json", "order.json", "speech.npz", "track.npz"]
    assert from_json(Analysis, order.analysis_file.read_bytes()) == analysis
    assert sorted(seconds) == ["listen", "track"]
    np.testing.assert_allclose(FaceTrack.load(order.track_file).pts_s, np.arange(10) / 25, atol=1e-6)


def test_the_warnings_of_both_files_are_carried_on(order, quiet):
    order = replace(
        order,
        video_info=replace(order.video_info, warnings=("picture",)),
        audio_info=replace(order.audio_info, warnings=("sound",)),
    )
    assert analyse(order, Passthrough(), LIMITS, quiet)[0].warnings == ("picture", "sound")


def test_track_and_speech_are_made_once_for_the_same_files(order, tracker, quiet, tmp_path):
    engine = Darken()
    first, _, _ = analyse(order, engine, LIMITS, quiet)
    again = replace(order, work_dir=tmp_path / "again")
    again.work_dir.mkdir()
    found, _, cached = analyse(again, engine, LIMITS, quiet)
    assert (found, cached) == (first, ("track", "speech"))
    assert (tracker.calls, engine.heard) == (1, 1)
    assert again.crowd_file.samefile(order.crowd_file)
    assert again.speech_file.samefile(order.speech_file)
    assert load_arrays(again.speech_file)["count"] == [9600]
    assert sorted(path.parent.name for path in order.cache_dir.rglob("*.npz")) == ["faces", "speech"]


def test_what_is_cached_is_not_even_opened(order, tracker, quiet):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    gone = replace(order, video=order.work_dir / "gone.mp4", audio=order.work_dir / "gone.wav")
    assert analyse(gone, engine, LIMITS, quiet)[2] == ("track", "speech")


def test_an_engine_without_a_face_takes_only_stamps_and_keeps_them_apart(order, tracker, quiet):
    told = []
    analyse(order, Passthrough(), LIMITS, lambda done, total: told.append((done, total)))
    assert told[-1] == (10, 10)
    assert analyse(order, Passthrough(), LIMITS, quiet)[2] == ("track", "speech")
    assert (analyse(order, Darken(), LIMITS, quiet)[2], tracker.calls) == ((), 1)


def test_a_person_is_studied_once_for_all_voices_and_each_face_for_itself(order, tracker, quiet, tmp_path):
    engine = Student()
    assert analyse(order, engine, LIMITS, quiet)[2] == ()
    assert sorted(analyse(order, engine, LIMITS, quiet)[1]) == ["listen", "study", "track"]
    other_voice = replace(order, audio_sha256="b2", work_dir=tmp_path / "voice")
    other_face = replace(
        order, audio_sha256="b2", work_dir=tmp_path / "face", options=replace(order.options, face="left")
    )
    for again, known in ((other_voice, ("track", "likeness")), (other_face, ("track", "speech"))):
        again.work_dir.mkdir()
        assert analyse(again, engine, LIMITS, quiet)[2] == known
    assert (tracker.calls, len(engine.studied)) == (1, 2)
    first, second = (load_arrays(one.likeness_file) for one in (order, other_face))
    assert first["left"] - second["left"] == 100, "main is the one nearer to the middle"
    assert first["heard"] == [-1], "the clip has no sound"
    assert first["frames"].shape == (2,)


def test_the_clip_s_own_sound_is_heard_where_there_is_one(order, tracker, quiet, tmp_path):
    talking = tmp_path / "talking.mp4"
    files = ["-i", order.video, "-i", order.audio, "-c:v", "copy", "-c:a", "aac", talking]
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", *map(str, files)], check=True)
    engine = Student()
    analyse(replace(order, video=talking, video_sha256="dd"), engine, LIMITS, quiet)
    assert load_arrays(order.likeness_file)["heard"] == [1]
    assert engine.heard == 2


def test_a_face_that_is_not_there_fails_the_job(order, tracker, quiet):
    with pytest.raises(InputError, match="index:3") as failed:
        analyse(replace(order, options=replace(order.options, face="index:3")), Darken(), LIMITS, quiet)
    assert failed.value.code == "E131"


CHANGES = {
    "picture": {"video_sha256": "ac"},
    "sound": {"audio_sha256": "bc"},
    "stream of the picture": {"video_info": {"stream": 1}},
    "rate": {"video_info": {"fps": Fraction(50)}},
    "stream of the sound": {"audio_info": {"stream": 1}},
}


def other(order, change):
    changes = {
        name: replace(getattr(order, name), **value) if isinstance(value, dict) else value
        for name, value in CHANGES[change].items()
    }
    return replace(order, **changes)


@pytest.mark.parametrize("change", CHANGES)
def test_what_is_read_from_another_file_or_in_another_way_is_made_anew(order, tracker, quiet, change, monkeypatch):
    monkeypatch.setattr(analysis_module, "decode_speech", lambda path, info, out, limits: out.write_bytes(b"") or 0)
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    with suppress(InputError):  # there is no such stream: it was looked for, then
        assert "track" not in analyse(other(order, change), engine, LIMITS, quiet)[2] or "sound" in change
    entries = [path.parent.name for path in order.cache_dir.rglob("*.npz")]
    if "sound" in change:
        assert (tracker.calls, engine.heard, entries.count("speech")) == (1, 2, 2)
    elif change == "stream of the picture":
        assert (engine.heard, entries) == (1, entries[:2])
    else:
        assert (tracker.calls, engine.heard, entries.count("faces")) == (2, 1, 2)


def test_a_clip_with_one_changed_byte_is_looked_at_anew(order, tracker, quiet, tmp_path):
    engine = Darken()
    analyse(replace(order, video_sha256=sha256_of(order.video)), engine, LIMITS, quiet)
    changed = tmp_path / "changed.mp4"
    data = bytearray(order.video.read_bytes())
    data[data.index(b"Lavf")] ^= 1
    changed.write_bytes(bytes(data))
    analyse(replace(order, video=changed, video_sha256=sha256_of(changed)), engine, LIMITS, quiet)
    assert (tracker.calls, engine.heard) == (2, 1)


def test_a_new_version_makes_anew_and_what_the_old_one_made_is_swept_first(order, tracker, quiet, monkeypatch):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    before = set(order.cache_dir.rglob("*.npz"))
    engine.version = "2"
    assert analyse(order, engine, LIMITS, quiet)[2] == ("track",)
    monkeypatch.setattr(analysis_module, "TRACKER_VERSION", "landmark74-next")
    assert analyse(order, engine, LIMITS, quiet)[2] == ("speech",)
    assert (tracker.calls, engine.heard) == (2, 2)
    after = set(order.cache_dir.rglob("*.npz")) - before
    assert (len(before), len(after)) == (2, 2)
    for path in after:
        os.utime(path, (2e9, path.stat().st_mtime - 1))
    for path in before:
        os.utime(path, (2e9, path.stat().st_mtime - 2))
    swept = sweep_cache(order.cache_dir, sum(path.stat().st_size for path in after))
    assert (swept.deleted, swept.old) == (2, 2)
    assert set(order.cache_dir.rglob("*.npz")) == after


def test_one_voice_for_three_faces_and_three_voices_for_one_face_are_each_looked_at_once(
    order, tracker, quiet, tmp_path
):
    engine, cached = Darken(), {}
    for face, voice in (("a1", "b1"), ("a2", "b1"), ("a3", "b1"), ("a1", "b2"), ("a1", "b3"), ("a3", "b3")):
        work = tmp_path / f"{face}-{voice}"
        work.mkdir()
        job = replace(order, work_dir=work, video_sha256=face, audio_sha256=voice)
        cached[face + voice] = analyse(job, engine, LIMITS, quiet)[2]
    assert cached == {
        "a1b1": (), "a2b1": ("speech",), "a3b1": ("speech",),
        "a1b2": ("track",), "a1b3": ("track",), "a3b3": ("track", "speech"),
    }  # fmt: skip
    assert (tracker.calls, engine.heard) == (3, 3)


def test_a_cache_that_cannot_be_written_does_not_fail_the_job(order, tracker, quiet):
    order.cache_dir.rmdir()
    order.cache_dir.write_text("in the way")
    engine = Darken()
    with capture_logs() as logs:
        first, again = (analyse(order, engine, LIMITS, quiet) for _ in range(2))
    assert (first[0], first[2], again[2]) == (again[0], (), ())
    assert [line["event"] for line in logs].count("cache.entry_not_kept") == 4
    assert load_arrays(order.speech_file)["count"] == [9600]
    assert files_of(order) == ["analysis.json", "faces.npz", "order.json", "speech.npz", "track.npz"]


def test_an_engine_that_fails_to_listen_leaves_no_raw_sound(order, quiet):
    class Deaf(Passthrough):
        def listen(self, sound, pulse=unheard):
            raise RuntimeError("a bug")

    with pytest.raises(RuntimeError, match="a bug"):
        analyse(order, Deaf(), LIMITS, quiet)
    assert files_of(order) == ["order.json", "track.npz"]


def test_an_analysis_tells_cuts_in_ticks_and_pauses_in_seconds(order, monkeypatch, quiet):
    class Hears(Darken):
        def pauses(self, speech):
            assert list(speech) == ["count"]
            return [(0.1, 0.4000001)]

    def cut_twice(frames, progress, *, scratch, device):
        scene = np.array([0, 0, 0, 1, 1, 1, 1, 2, 2, 2], np.int32)
        crowd = Tracker()(frames, progress)
        return replace(crowd, scene=scene, person=crowd.person + 2 * scene[crowd.frame])

    monkeypatch.setattr(analysis_module, "track_crowd", cut_twice)
    doubled = replace(order, video_info=replace(order.video_info, fps=Fraction(50)))
    for _ in range(2):
        analysis = analyse(doubled, Hears(), LIMITS, quiet)[0]
        assert (analysis.tick_count, analysis.scene_ticks, analysis.pauses_s) == (20, (6, 14), ((0.1, 0.4),))
    assert from_json(Analysis, doubled.analysis_file.read_bytes()) == analysis


def test_an_engine_that_changes_nothing_knows_neither_cuts_nor_pauses(order, quiet):
    analysis = analyse(order, Passthrough(), LIMITS, quiet)[0]
    assert (analysis.scene_ticks, analysis.pauses_s) == ((), ())


def test_a_damaged_cache_is_made_anew(order, tracker, quiet):
    engine = Darken()
    analyse(order, engine, LIMITS, quiet)
    for kept in order.cache_dir.rglob("*.npz"):
        kept.write_bytes(b"damaged")
    analyse(order, engine, LIMITS, quiet)
    assert (tracker.calls, engine.heard) == (2, 2)
    assert load_arrays(order.speech_file)["count"] == [9600]


def test_a_clip_without_a_face_is_refused_but_only_by_an_engine_that_needs_one(order, tracker, quiet):
    tracker.seen = ()
    with pytest.raises(InputError, match="any of 10 frames") as caught:
        analyse(order, Darken(), LIMITS, quiet)
    assert caught.value.code == "E131"
    assert not order.analysis_file.exists()
    assert analyse(order, Passthrough(), LIMITS, quiet)[0].face_frames == 0


def test_a_face_in_one_frame_is_enough(order, tracker, quiet):
    tracker.seen = (7,)
    assert analyse(order, Darken(), LIMITS, quiet)[0].face_frames == 1


def test_the_look_for_a_face_reports_its_progress(order, tracker):
    told = []
    analyse(order, Darken(), LIMITS, lambda done, total: told.append((done, total)))
    assert told == [(10, 10)]
