"""What lossless films prove: only the mouth changed, and no cut leaves a trace in picture, time or sound."""

import random
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions
from heygemd.limits import Limits
from heygemd.media.frames import SourceVideo
from heygemd.media.probe import probe_audio, probe_video
from heygemd.media.rates import timescale
from heygemd.planning.plan import Analysis, EngineChoice, Order, from_json, to_json
from heygemd.planning.segments import Segment
from heygemd.render.analysis import analyse
from heygemd.render.atlas.engine import Atlas
from heygemd.render.faces.track import FaceTrack
from heygemd.render.film import finish
from heygemd.render.passthrough import Passthrough
from heygemd.render.tasks import render_segment, segment_facts, stage
from heygemd.scheduler.workdir import make_plan
from tests.pictures import IDR, ffmpeg, make_presenter, packets, picture_hashes, picture_units

pytestmark = [pytest.mark.ffmpeg, pytest.mark.slow]

LIMITS = Limits()
SOUND_FRAMES = 89.5
FILM_FRAMES = 90
SAMPLES = {"aac": 1024, "mp3": 1152}
"""In one packet."""
CUT_TICK = 17
ODD_FRAMES = (7, 31, 45, 53, 71, 83)


class Studio:
    """Analyses a pair once, and makes films of it in this process, cut wherever a test wants it."""

    def __init__(self, folder, video, voice, engine, length=LengthPolicy.AUTO, *, crf=0):
        self.load = engine
        (folder / "cache").mkdir()
        name = EngineName(engine().name)
        self.order = Order(
            job_id="20250131T080000000-abcdefgh23", work_dir=folder, cache_dir=folder / "cache",
            video=video, video_sha256=sha256_of(video), video_info=probe_video(video, LIMITS),
            audio=voice, audio_sha256=sha256_of(voice), audio_info=probe_audio(voice, LIMITS),
            options=RenderOptions(engine=name, crf=crf, preset="veryfast", length=length),
            engine=EngineChoice(name=name), max_segment_s=60.0,
        )  # fmt: skip
        analyse(self.order, engine(), LIMITS, self.quiet)
        self.analysis = from_json(Analysis, self.order.analysis_file.read_bytes())

    @staticmethod
    def quiet(done, total):
        """Report to nobody."""

    def welcome(self, scene_ticks, pauses_s=()):
        """Frames of the film where a cut is welcome."""
        line = make_plan(self.order, self.analysis).timeline
        kinds = (line.scene_places(scene_ticks), line.pause_places(pauses_s))
        return [list(places.within(1, line.frame_count)) for places in kinds]

    def film(self, *starts, workers=1):
        """Render segments that begin at `starts` in any order, in turn by workers that share only files; join them."""
        plan = make_plan(self.order, self.analysis)
        edges = [0, *sorted(starts), plan.timeline.frame_count]
        segments = tuple(Segment(i, start, stop) for i, (start, stop) in enumerate(pairwise(edges)))
        plan = replace(plan, segments=segments)
        (self.order.work_dir / "plan.json").write_text(to_json(plan))
        staged = [stage(plan, self.load()) for _ in range(workers)]
        for turn, segment in enumerate(random.Random(7).sample(segments, len(segments))):
            batch = (16, 5)[turn % 2]
            render_segment(plan, segment, staged[turn % workers], batch_size=batch, limits=LIMITS, report=self.quiet)
        finish(plan, LIMITS, "1", self.quiet)
        return plan


def make_clip(file, fps, missing=""):
    """Forty frames in two scenes, `CUT_TICK` is the first of the second; `missing` takes some out."""
    scenes = f"testsrc2=s=64x48:r={fps},trim=end_frame={CUT_TICK}[a];rgbtestsrc=s=64x48:r={fps},trim=end_frame=23[b]"
    ffmpeg(
        "-f", "lavfi", "-i", f"{scenes};[a][b]concat,hue=h=9*n{missing}[out0]", "-fps_mode", "passthrough",
        "-pix_fmt", "yuv420p", "-c:v", "libx264", "-bf", 2, "-g", 12, file,
    )  # fmt: skip


def make_tone(file, fps):
    """A rising tone for `FILM_FRAMES` frames."""
    ffmpeg("-f", "lavfi", "-i", f"aevalsrc=0.3*sin(2*PI*(200+150*t)*t):s=44100:d={SOUND_FRAMES / fps:.6f}", file)


def segment_files(plan):
    return [plan.segments_dir / segment.file_name for segment in plan.segments]


def frames(path):
    return [frame.planes for frame in SourceVideo(path, probe_video(path, LIMITS), LIMITS).decode()]


# Whatever the clock and the length policy --------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=[
        ("25", LengthPolicy.FREEZE, "m4a", "constant"),
        ("24000/1001", LengthPolicy.LOOP, "mp3", "constant"),
        ("30000/1001", LengthPolicy.AUTO, "mp3", "variable"),
        ("60000/1001", LengthPolicy.AUTO, "m4a", "constant"),
    ],
    ids=" ".join,
)
def films(request, tmp_path_factory):
    """A clip of two scenes that changes nothing, as a film in one piece and in seven."""
    rate, length, codec, clock = request.param
    folder = tmp_path_factory.mktemp("films")
    fps = Fraction(rate)
    voice = folder / f"voice.{codec}"
    make_clip(folder / "clip.mp4", fps, ",select='not(eq(mod(n,7),5))'" if clock == "variable" else "")
    make_tone(voice, fps)
    studio = Studio(folder, folder / "clip.mp4", voice, Passthrough, length)
    info = studio.order.video_info
    assert (info.fps, info.is_vfr) == (fps, clock == "variable")
    scenes, _ = studio.welcome([CUT_TICK])
    assert scenes
    starts = list(dict.fromkeys([*scenes[:3], *ODD_FRAMES]))[:6]
    return studio, studio.film(), studio.film(*starts, workers=2)


def test_seven_segments_show_and_time_every_frame_as_one_does(films):
    _, whole, parts = films
    assert (len(whole.segments), len(parts.segments)) == (1, 7)
    assert whole.hash != parts.hash
    one, seven = picture_hashes(whole.film_file), picture_hashes(parts.film_file)
    assert len(one) == whole.timeline.frame_count
    assert seven == one
    assert len({md5 for _, _, md5 in one}) > 20, "the picture moves"


def test_all_frames_last_equally_long(films):
    studio, _, parts = films
    fps = studio.order.video_info.fps
    found = packets(parts.film_file, "v")
    stamps = sorted(packet["pts"] for packet in found)
    assert {b - a for a, b in pairwise(stamps)} == {timescale(fps) / fps}
    assert {packet["duration"] for packet in found} == {timescale(fps) / fps}


def test_the_sound_is_that_of_the_file_packet_for_packet(films):
    studio, whole, parts = films
    original = packets(studio.order.audio, "a")
    for plan in (whole, parts):
        copied = packets(plan.film_file, "a")
        assert [packet["data_hash"] for packet in copied] == [packet["data_hash"] for packet in original]
        assert {b["pts"] - a["pts"] for a, b in pairwise(copied)} == {SAMPLES[studio.order.audio_info.codec]}


def test_every_segment_can_be_shown_without_the_others(films):
    _, whole, parts = films
    of_one = picture_hashes(whole.film_file)
    for segment, file in zip(parts.segments, segment_files(parts), strict=True):
        alone = [md5 for _, _, md5 in picture_hashes(file)]
        assert alone == [md5 for _, _, md5 in of_one[segment.start : segment.stop]]


def test_no_picture_of_a_compressed_film_reaches_over_a_key_frame(tmp_path):
    slow = Fraction(9)  # five seconds, and with them a group of pictures, may end within a segment
    make_clip(tmp_path / "clip.mp4", slow)
    make_tone(tmp_path / "voice.mp3", slow)
    studio = Studio(tmp_path, tmp_path / "clip.mp4", tmp_path / "voice.mp3", Passthrough, LengthPolicy.LOOP, crf=20)
    plan = studio.film(53, 71, workers=2)
    found = packets(plan.film_file, "v")
    stamps, units = [packet["pts"] for packet in found], picture_units(plan.film_file)
    assert stamps != sorted(stamps), "there are pictures that refer to later ones"
    keys = [at for at, packet in enumerate(found) if "K" in packet["flags"]]
    assert {0, 53, 71} < set(keys), "there are more than those at joints"
    for key in keys:
        assert units[key] == IDR
        assert max(stamps[:key], default=-1) < stamps[key] == min(stamps[key:])
    alone = [md5 for file in segment_files(plan) for _, _, md5 in picture_hashes(file)]
    assert alone == [md5 for _, _, md5 in picture_hashes(plan.film_file)]


# With a mouth that speaks ------------------------------------------------------------------------------------------


@pytest.mark.media
def test_a_mouth_speaks_the_same_wherever_the_film_is_cut(tmp_path, shared_media):
    talk = shared_media / "talking" / "face_512p25.mp4"
    ffmpeg(
        "-i", talk, "-filter_complex",
        "split[near][far];[near]trim=end_frame=34,setpts=PTS-STARTPTS,scale=256:256[a];"
        "[far]trim=start_frame=90:end_frame=116,setpts=PTS-STARTPTS,crop=400:400,hflip,scale=256:256[b];[a][b]concat",
        "-an", "-c:v", "libx264", "-crf", 12, "-bf", 2, tmp_path / "face.mp4",
    )  # fmt: skip
    ffmpeg("-i", shared_media / "speech" / "en_jfk_11s.flac", "-t", SOUND_FRAMES / 25, tmp_path / "voice.m4a")
    studio = Studio(tmp_path, tmp_path / "face.mp4", tmp_path / "voice.m4a", Atlas)
    scenes, pauses = studio.welcome(studio.analysis.scene_ticks, studio.analysis.pauses_s)
    whole = studio.film()
    one = picture_hashes(whole.film_file)
    assert sum(facts.touched_frames for facts in segment_facts(whole)) == len(one) == FILM_FRAMES
    assert scenes
    assert pauses
    at_places = list(dict.fromkeys([*scenes, *pauses, *ODD_FRAMES]))[:6]
    for starts, workers in ((ODD_FRAMES, 1), (at_places, 2)):
        parts = studio.film(*starts, workers=workers)
        assert len(parts.segments) == 7
        assert picture_hashes(parts.film_file) == one


def test_pixels_outside_the_lower_face_are_those_of_the_source(tmp_path, repository, script):
    presenter = tmp_path / "face.mp4"
    make_presenter(script("demo/make_presenter"), presenter, 45)
    ffmpeg("-i", repository / "scripts" / "demo" / "voice_en.flac", "-t", 3, tmp_path / "voice.wav")
    studio = Studio(tmp_path, presenter, tmp_path / "voice.wav", Atlas)
    plan = studio.film(33, workers=2)
    source, film = frames(presenter), frames(plan.film_file)
    track = FaceTrack.load(studio.order.track_file)
    height = studio.order.video_info.height_px
    changed_frames = 0
    for index, planes in enumerate(film):
        shown = plan.timeline.tick_of(index)
        rows, columns = np.nonzero((planes != source[shown])[:height])
        if not len(rows):
            continue
        changed_frames += 1
        low, high = track.points[shown].min(0), track.points[shown].max(0)
        size = high - low
        assert rows.min() > low[1] + 0.35 * size[1], "nothing above the nose"
        assert rows.max() < high[1] + 0.5 * size[1]
        assert columns.min() > low[0] - 0.4 * size[0]
        assert columns.max() < high[0] + 0.4 * size[0]
    assert changed_frames > 0.5 * len(film), "the mouth moves"
    assert sum(facts.touched_frames for facts in segment_facts(plan)) == len(film)
