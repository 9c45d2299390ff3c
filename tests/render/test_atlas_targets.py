from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.jobs.job import LengthPolicy, RenderOptions, SilenceRule, VideoInfo
from heygemd.planning.timeline import plan_timeline
from heygemd.render.atlas import targets as targets_module
from heygemd.render.atlas.motion import HeadMotion
from heygemd.render.atlas.person import Person
from heygemd.render.atlas.targets import FADE_FRAMES, fade, mouth_targets, usable_frames
from heygemd.render.engine import Clip
from heygemd.render.faces.track import FaceTrack
from heygemd.render.speech.mouth import MouthTracks

FPS = 25
PERSON = Person(
    widest_opening=0.2,
    opening_limit=0.22,
    rest_width=0.55,
    width_swing=0.03,
    opening_mode=np.zeros((468, 3)),
    width_mode=np.zeros((468, 3)),
)


def speech(length_s: float, *, opening: float = 0.0, width: float = 0.0, gate: float = 1.0) -> dict[str, np.ndarray]:
    n = int(length_s * 50)
    flat = {name: np.zeros(n, np.float32) for name in MouthTracks.__dataclass_fields__}
    flat |= {
        "opening": np.full(n, opening, np.float32),
        "opening_soft": np.full(n, opening, np.float32),
        "width": np.full(n, width, np.float32),
        "gate": np.full(n, gate, np.float32),
    }
    return flat


def motion_of(count: int, *, opening: float = 0.1, yaw_deg: float = 0.0, eye_px: float = 100.0) -> HeadMotion:
    return HeadMotion(
        points=np.zeros((count, 74, 2), np.float32),
        opening=np.full(count, opening),
        width=np.full(count, 0.57),
        slow_width=np.full(count, 0.57),
        eye_px=np.full(count, eye_px),
        yaw_deg=np.full(count, yaw_deg),
        pitch_deg=np.zeros(count),
        roll_deg=np.zeros(count),
    )


def clip_of(count: int, sound: dict[str, np.ndarray], **options) -> Clip:
    timeline = plan_timeline(
        fps=Fraction(FPS), tick_count=count, sound_s=Fraction(count, FPS), policy=LengthPolicy.AUTO
    )
    track = FaceTrack(
        pts_s=np.arange(count) / FPS,
        points=np.zeros((count, 74, 2), np.float32),
        confidence=np.ones(count, np.float32),
        lips_visible=np.ones(count, np.float32),
        skin=np.zeros((count, 16, 3), np.uint8),
        scene=np.zeros(count, np.int32),
    )
    info = VideoInfo(
        demuxer="mov", codec="h264", stream=0, fps=Fraction(FPS), frame_count=count, width_px=640, height_px=480
    )
    return Clip(
        timeline=timeline,
        source_frames=np.arange(count, dtype=np.int32),
        track=track,
        speech=sound,
        video=info,
        options=RenderOptions(**options),
    )


def targets(clip: Clip, motion: HeadMotion, usable=None):
    count = len(motion.opening)
    return mouth_targets(clip, motion, PERSON, np.ones(count, bool) if usable is None else usable)


def test_full_opening_is_the_persons_widest_and_never_beyond_the_limit():
    assert targets(clip_of(20, speech(2, opening=1.0)), motion_of(20)).opening == pytest.approx(0.2)
    assert targets(clip_of(20, speech(2, opening=1.25)), motion_of(20)).opening == pytest.approx(0.22)


def test_silence_closes_the_mouth_or_follows_the_source():
    quiet = speech(2, gate=0.0)
    close, source = (targets(clip_of(20, quiet, silence=rule), motion_of(20)) for rule in SilenceRule)
    assert close.opening == pytest.approx(0)
    assert source.opening == pytest.approx(0.1)
    assert source.width == pytest.approx(0.57)


def test_spread_lips_are_wider_than_rounded_ones():
    spread, rounded = (targets(clip_of(20, speech(2, width=w)), motion_of(20)).width for w in (1.0, -1.0))
    assert (spread - rounded) == pytest.approx(2 * 2.25 * 0.03)


def test_a_positive_offset_moves_the_mouth_later():
    sound = speech(2)
    for name in ("opening", "opening_soft"):
        sound[name][20:] = 1.0
    now, later = (targets(clip_of(50, sound, audio_offset_ms=ms), motion_of(50)).opening for ms in (0, 200))
    assert later[10:] == pytest.approx(now[5:-5])
    assert (later[:5] == 0).all()


def test_the_mouth_closes_where_the_film_outlasts_the_sound():
    result = targets(clip_of(50, speech(1, opening=1.0)), motion_of(50))
    assert result.opening[20] == pytest.approx(0.2)
    assert (result.opening[30:] == 0).all()


def test_frames_that_show_no_usable_mouth_are_told():
    clip = clip_of(4, speech(1))
    assert usable_frames(clip.track, motion_of(4)).all()
    assert not usable_frames(clip.track, motion_of(4, yaw_deg=-40)).any()
    assert not usable_frames(clip.track, motion_of(4, eye_px=12)).any()
    assert not usable_frames(clip.track, motion_of(4, opening=np.nan)).any()
    clip.track.lips_visible[1] = 0.8
    clip.track.confidence[2] = 0
    assert usable_frames(clip.track, motion_of(4)).tolist() == [True, False, False, True]


def test_the_effect_fades_beside_an_unusable_frame():
    usable = np.ones(12, bool)
    usable[5] = False
    result = targets(clip_of(12, speech(1, opening=1.0)), motion_of(12), usable)
    assert result.effect.tolist() == [1, 1, 0.25 * 3, 0.5, 0.25, 0, 0.25, 0.5, 0.75, 1, 1, 1]
    assert result.opening[4] == pytest.approx(0.1 + 0.25 * 0.1)
    assert np.isfinite(result.opening).all()


@given(st.lists(st.booleans(), min_size=1, max_size=40), st.integers(0, 40))
def test_a_fade_never_jumps_inside_a_shot_and_never_crosses_a_cut(usable, cut):
    flags, shots = np.array(usable), (np.arange(len(usable)) >= cut).astype(np.int64)
    effect = fade(flags, shots)
    assert ((effect > 0) == flags).all()
    steps = np.abs(np.diff(effect))
    assert (steps[np.diff(shots) == 0] <= 1 / (FADE_FRAMES + 1) + 1e-9).all()
    assert np.array_equal(effect[shots == 0], fade(flags[shots == 0], shots[shots == 0]))


@pytest.mark.parametrize("block", [1, 4, 33])
def test_targets_laid_out_in_blocks_are_those_of_the_whole_film(block, monkeypatch):
    rng = np.random.default_rng(4)
    sound = {name: rng.random(150).astype(np.float32) for name in MouthTracks.__dataclass_fields__}
    clip = clip_of(90, sound, silence=SilenceRule.SOURCE, audio_offset_ms=90)
    jumps = np.sort(rng.integers(0, 90, 90)).astype(np.int32)
    clip = replace(clip, source_frames=jumps)
    motion = replace(motion_of(90), opening=rng.random(90), width=0.5 + 0.1 * rng.random(90))
    usable = rng.random(90) > 0.1
    whole = targets(clip, motion, usable)
    monkeypatch.setattr(targets_module, "BLOCK_FRAMES", block)
    parts = targets(clip, motion, usable)
    for one, other in ((parts.opening, whole.opening), (parts.width, whole.width), (parts.effect, whole.effect)):
        np.testing.assert_array_equal(one, other)
    assert 0 < whole.effect.mean() < 1
