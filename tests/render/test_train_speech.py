"""The scripts that rebuild the speech weights: phones, coarticulation, corpus, alignment, training, export."""

import ctypes
import gc
import itertools
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from heygemd.render.speech.network import CLASSES, WEIGHTS_FILE
from scripts.train.speech import (
    align,
    calibrate,
    coarticulation,
    corpus,
    degrade,
    export,
    grid,
    recorded_voices,
    recordings,
    revoice,
    texts,
)
from scripts.train.speech.coarticulation import Calibration, mouth_motion, phones_of, targets_of
from scripts.train.speech.espeak import LIBRARY, Espeak, Manner, UnknownVoiceError
from scripts.train.speech.phonemes import (
    GAP,
    POSES,
    SILENCE,
    MouthClass,
    Segment,
    letters_of,
    segments_of,
    unknown_letters,
)
from tests.render.speech_rig import voice_like

WORDS = ("harbour", "puzzle", "famous", "window", "seven", "money", "thing", "sheep", "crowd", "village")


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    try:
        ctypes.CDLL(LIBRARY)
    except OSError:
        pytest.skip(f"needs {LIBRARY}")
    return Espeak()


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def motion_at(segments: list[Segment], *times_s: float) -> coarticulation.Motion:
    return mouth_motion(phones_of(segments), torch.tensor(times_s, dtype=torch.float64), Calibration.rules())


# Phones


def test_events_become_segments_without_holes() -> None:
    events = [(0.0, ""), (0.3, "m"), (0.4, "aɪ"), (0.6, "ː"), (0.65, "(en)"), (0.7, ""), (0.75, "t"), (0.8, "")]
    segments = segments_of(events, 1.2)
    assert [one.symbol for one in segments] == [SILENCE, "m", "a", "ɪ", GAP, "t", SILENCE]
    assert all(one.stop_s == other.start_s for one, other in itertools.pairwise(segments))
    assert segments[-1].stop_s == 1.2
    assert segments[2].duration_s == pytest.approx(0.1)
    assert segments[3].stop_s == 0.7, "a length mark lengthens the vowel before it"


def test_every_class_but_silence_has_a_phone() -> None:
    assert {pose.mouth_class for pose in POSES.values()} == set(MouthClass) - {MouthClass.SIL}


def test_class_names_are_those_of_the_shipped_weights() -> None:
    content = WEIGHTS_FILE.read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    assert tuple(json.loads(header["__metadata__"]["classes"])) == export.CLASS_NAMES
    assert len(export.CLASS_NAMES) == CLASSES.stop - CLASSES.start


def test_unknown_letters_are_found_and_marks_are_none() -> None:
    assert unknown_letters("ɧeː˥ˈʰ") == {"ɧ"}


def _lines(voice: str) -> list[str]:
    random = np.random.default_rng(1)
    if voice in texts.OTHER_LANGUAGES:
        return [texts.other_line(random, voice).text for _ in range(2)]
    while True:  # English, Mandarin and Japanese come as often as draw_line gives them
        line = texts.draw_line(random, WORDS)
        if line.voice == voice:
            return [line.text]


@pytest.mark.parametrize("voice", texts.VOICES)
def test_table_covers_what_a_voice_says(espeak: Espeak, voice: str) -> None:
    names = {name for text in _lines(voice) for _, name in espeak.say(text, voice).phonemes}
    assert len(names) > 8
    assert set().union(*map(unknown_letters, names)) == set()


def test_voices_that_espeak_lacks_are_an_error_and_not_skipped(espeak: Espeak) -> None:
    with pytest.raises(UnknownVoiceError, match="en-gb"):
        espeak.say("hello", "en-gb")


def test_speech_does_not_depend_on_what_was_said_before(espeak: Espeak) -> None:
    first = espeak.say("my baby has five puppies", "en-us+klatt")
    espeak.say("something else", "de+f2", Manner(rate=220))
    again = espeak.say("my baby has five puppies", "en-us+klatt")
    assert np.array_equal(first.sound, again.sound)
    assert first.phonemes == again.phonemes
    assert len(first.sound) > first.rate_hz


def test_a_speaker_that_came_and_went_leaves_the_others_speaking(espeak: Espeak) -> None:
    Espeak().say("hello", "en")
    gc.collect()
    assert len(espeak.say("my baby has five puppies", "en").sound) > 16_000


# Coarticulation


def test_mouth_is_at_its_pose_in_the_middle_of_a_long_vowel() -> None:
    segments = [Segment(0.0, 0.5, SILENCE), Segment(0.5, 0.8, "ɑ"), Segment(0.8, 1.3, SILENCE)]
    time_s = torch.arange(131, dtype=torch.float64) / 100
    opening = mouth_motion(phones_of(segments), time_s, Calibration.rules()).opening
    assert 0.55 <= float(time_s[opening.argmax()]) <= 0.75
    assert float(opening.max()) == pytest.approx(0.85 * 1.1, rel=0.1)
    assert float(opening[0]) < 0.01
    assert float(opening[-1]) < 0.01


@pytest.mark.parametrize("letter", "pbm")
def test_closures_reach_zero_between_the_widest_vowels(letter: str) -> None:
    segments = [Segment(0.0, 0.2, "a"), Segment(0.2, 0.28, letter), Segment(0.28, 0.5, "a")]
    motion = motion_at(segments, 0.1, 0.24, 0.4)
    assert float(motion.closure[1]) == pytest.approx(1, abs=0.01)
    assert float(motion.opening[1]) < 0.02
    assert float(motion.opening[[0, 2]].min()) > 0.6
    assert float(motion.closure[[0, 2]].max()) < 0.01


def test_f_leaves_a_slit_and_rounding_spreads_further_than_opening() -> None:
    segments = [Segment(0.0, 0.2, "a"), Segment(0.2, 0.3, "f"), Segment(0.3, 0.5, "u"), Segment(0.5, 0.7, SILENCE)]
    motion = motion_at(segments, 0.25, 0.4)
    assert float(motion.lipteeth[0]) == pytest.approx(1, abs=0.01)
    assert 0 < float(motion.opening[0]) < 0.15
    assert float(motion.width[1]) < -0.7
    targets, classes = targets_of(segments, 0.7, Calibration.rules())
    assert targets.shape == (36, 5)
    assert targets.dtype == np.float32
    assert targets[20, 2] > 0.8, "u pushes the lips forward"
    assert classes[[5, 12, 20, 30]].tolist() == [MouthClass.A, MouthClass.FV, MouthClass.W_U, MouthClass.SIL]


def test_calibration_survives_its_file_and_is_found_again_from_curves(tmp_path: Path) -> None:
    segments = [Segment(0.0, 0.2, SILENCE)]
    for k, letter in enumerate("mapilusotefawinɹo"):
        segments.append(Segment(0.2 + 0.1 * k, 0.3 + 0.1 * k, letter))
    phones, time_s = phones_of(segments), torch.arange(47, dtype=torch.float64) / 25
    wanted = Calibration.rules()
    wanted.fading[0], wanted.opening_offset[MouthClass.A] = 1.0, -0.3
    motion = mouth_motion(phones, time_s, wanted)
    clip = grid.GridClip(
        code="bbaf2n",
        features=np.zeros((0, 80), np.float32),
        time_s=time_s.numpy(),
        opening=motion.opening.numpy(),
        width=motion.width.numpy(),
    )
    lessons = [calibrate.lesson_of(clip, segments)]
    fitted = calibrate.fitted(lessons, steps=30)
    before, after = (calibrate.mean_likeness(lessons, one)[0] for one in (Calibration.rules(), fitted))
    assert before < 0.95
    assert 1 - after < (1 - before) / 2
    fitted.save(tmp_path / "calibration.json")
    loaded = Calibration.load(tmp_path / "calibration.json")
    assert all(torch.equal(one, loaded.tensors()[name]) for name, one in fitted.tensors().items())


# Corpus


@pytest.mark.ffmpeg
def test_an_utterance_depends_on_its_seed_and_on_nothing_else(espeak: Espeak) -> None:
    babble = corpus.babble_voices(espeak, WORDS, seed=5, count=4)
    speaker = corpus.espeak_speaker(espeak, WORDS)
    one, other, again = (corpus.utterance(speaker, babble, (5, corpus.TRAINING, k)) for k in (2, 3, 2))
    for name in ("clean", "recorded", "segments", "voice"):
        assert np.array_equal(getattr(one, name), getattr(again, name))
    assert not np.array_equal(one.clean[:100], other.clean[:100])
    assert one.clean.shape == one.recorded.shape
    assert one.segments[0].symbol == SILENCE
    assert one.segments[-1].stop_s == pytest.approx(one.duration_s, abs=0.02)


def test_corpus_is_continued_and_read_back(espeak: Espeak, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degrade, "CODEC_SHARE", 0.0)
    monkeypatch.setattr(corpus, "BABBLE_VOICES", 4)
    what = {"seed": 5, "corpus": corpus.HELD_OUT}
    corpus.make_corpus(tmp_path, WORDS, count=1, **what)
    first = (tmp_path / "00000.npz").stat().st_mtime_ns
    corpus.make_corpus(tmp_path, WORDS, count=2, **what)
    assert (tmp_path / "00000.npz").stat().st_mtime_ns == first
    loaded = corpus.load_corpus(tmp_path, 2)
    babble = corpus.babble_voices(espeak, WORDS, seed=5, count=4)
    made = corpus.utterance(corpus.espeak_speaker(espeak, WORDS), babble, (5, corpus.HELD_OUT, 1))
    assert np.array_equal(loaded[1].recorded, made.recorded)
    assert loaded[1].segments == made.segments


def test_revoicing_changes_the_voice_and_not_the_rhythm() -> None:
    sound = voice_like()
    other = revoice.revoiced(sound, np.random.default_rng(3))
    assert other.shape == sound.shape
    assert other.dtype == np.float32
    envelopes = [np.sqrt((one.reshape(-1, 800) ** 2).mean(axis=1)) for one in (sound, other)]
    assert np.corrcoef(*envelopes)[0, 1] > 0.8
    assert abs(np.corrcoef(sound, other)[0, 1]) < 0.5


@pytest.mark.ffmpeg
@pytest.mark.parametrize("codec", degrade.CODECS, ids=lambda codec: codec[0])
def test_codecs_do_not_shift_the_sound(
    codec: tuple[str, str, tuple[str, ...]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(degrade, "CODECS", (codec,))
    sound = np.pad(voice_like(1.0), (4000, 4000))
    heard = degrade._coded(sound, np.random.default_rng(0))
    assert heard.shape == sound.shape
    lags = np.correlate(heard, sound[2000:-2000], "valid")
    assert abs(int(lags.argmax()) - 2000) <= 16


def test_degradation_keeps_length_and_is_seeded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(degrade, "CODEC_SHARE", 0.0)
    sound = voice_like()
    for seed in range(12):
        one, again = (degrade.degraded(sound, [sound] * 4, np.random.default_rng(seed)) for _ in range(2))
        assert one.shape == sound.shape
        assert np.isfinite(one).all()
        assert np.array_equal(one, again)


# GRID


def test_sentence_of_a_clip_is_its_name() -> None:
    assert grid.sentence_of("bbaf2n") == "bin blue at F two now"
    assert grid.sentence_of("lrwp9a") == "lay red with P nine again"
    assert all(len(grid.sentence_of(code).split()) == 6 for code in grid.SHA256)


def test_other_clips_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the GRID clip"):
        grid.find_clips(tmp_path)
    (tmp_path / f"{next(iter(grid.SHA256))}.mpg").write_bytes(b"another film")
    with pytest.raises(ValueError, match="other bytes"):
        grid.find_clips(tmp_path)


@pytest.mark.media
def test_clips_are_found_by_their_digests(shared_media: Path) -> None:
    assert len(grid.find_clips(shared_media / "talking")) == 11


def test_alignment_finds_the_borders_that_the_answers_show() -> None:
    borders = [0, 30, 42, 60, 90]
    columns = np.full((90, 4), -6.0)
    for segment, (start, stop) in enumerate(itertools.pairwise(borders)):
        columns[start:stop, segment] = -0.1
    assert align.best_borders(columns, [None, 12.0, 16.0, None]) == borders


def test_alignment_gives_phones_their_usual_length_where_the_answers_say_nothing() -> None:
    borders = align.best_borders(np.zeros((60, 4)), [None, 10.0, 20.0, None])
    assert np.diff(borders)[1:3].tolist() == [10, 20]


# People


@pytest.mark.parametrize("voice", recorded_voices.VOICES)
def test_voices_of_people_say_what_they_are_given(voice: str) -> None:
    program = "flite" if voice in recorded_voices.FLITE_VOICES else "festival"
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    try:
        speech = recorded_voices.say('Bob "met" Pam, at five.', voice, slower=1.1)
    except subprocess.CalledProcessError:
        pytest.skip(f"{program} has no voice {voice} here")
    names = [name for _, name in speech.phonemes if name]
    assert names[:3] == ["b", "ɑ", "b"]
    assert {"m", "p", "f", "v"} <= set(names)
    starts = [start_s for start_s, _ in speech.phonemes]
    assert starts == sorted(starts)
    assert 1.0 < starts[-1] < len(speech.sound) / speech.rate_hz < 5.0
    assert np.abs(speech.sound).max() <= 1.0


def test_every_phone_of_a_table_has_a_mouth_or_is_a_pause() -> None:
    for table in (recorded_voices.IPA, recordings.IPA):
        assert all(letters_of(name) or name == "" for name in table.values())
        assert not set().union(*(unknown_letters(name) for name in table.values()))


def test_a_voice_that_nobody_recorded_is_refused() -> None:
    with pytest.raises(UnknownVoiceError):
        recorded_voices.say("hello", "nobody")


def test_recordings_become_utterances_in_several_voices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sounds = {"1-2-3.flac": voice_like(2.0), "unheard.flac": voice_like(1.0)}
    monkeypatch.setattr(recordings, "read_sound", lambda path: sounds[path.name])
    monkeypatch.setattr(degrade, "CODEC_SHARE", 0.0)
    (tmp_path / "1-2-3.json").write_text('[[0, 0.5, "SIL"], [0.5, 1.0, "M"], [1.0, 1.06, "AH"], [1.06, 1.6, "AA"]]')
    (tmp_path / "unheard.json").write_text("[]")
    found, out = [tmp_path / name for name in sounds], tmp_path / "out"
    assert recordings.make_recorded_corpus(out, found, tmp_path, [], 0) == recordings.VERSIONS
    made = corpus.load_corpus(out, recordings.VERSIONS)
    assert [one.symbol for one in made[0].segments] == [SILENCE, "m", "ə", "ɑ"]
    assert made[0].duration_s == pytest.approx(1.6, abs=0.02)
    speeds = [made[0].segments[1].duration_s / one.segments[1].duration_s for one in made]
    assert speeds[0] == 1 and all(0.8 < speed < 1.2 and speed != 1 for speed in speeds[1:])


def test_other_recordings_are_refused(tmp_path: Path) -> None:
    (tmp_path / "1-2-3.flac").write_bytes(b"not that one")
    with pytest.raises(ValueError, match="251 recordings"):
        recordings.find_recordings(tmp_path)
