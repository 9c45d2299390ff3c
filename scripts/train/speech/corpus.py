"""The synthetic corpora: speech with the times of its phones, once clean and once badly recorded.

Two kinds of speakers: espeak's formulas, in many languages, and the voices of `recorded_voices.py`, which were made
from recordings of people. Utterance k of a seed is always the same, whatever was made before it and by how many
processes. Each is a file of its own, so a corpus that was broken off is continued.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from heygemd.render.speech.features import FEATURE_RATE_HZ, SAMPLE_RATE_HZ, speech_features
from scripts.train.speech.degrade import degraded
from scripts.train.speech.espeak import Espeak, Manner, Speech
from scripts.train.speech.phonemes import Segment, segments_of
from scripts.train.speech.recorded_voices import say
from scripts.train.speech.revoice import revoiced
from scripts.train.speech.texts import draw_english, draw_line, pick

Random = np.random.Generator
Sound = NDArray[np.float32]

VARIANTS = (
    "",
    *(f"+f{k}" for k in range(1, 6)),
    *(f"+m{k}" for k in range(1, 8)),
    *("+klatt", "+klatt2", "+klatt3", "+klatt4", "+Alex", "+Andrea", "+Andy", "+Annie", "+belinda", "+benjamin"),
    *("+david", "+Denis", "+Diogo", "+ed", "+Gene", "+linda", "+Lee", "+michael", "+Mike", "+paul", "+rob"),
    *("+robert", "+steph", "+victor", "+zac", "+anika", "+shelby", "+john", "+adam", "+antonio", "+aunty", "+max"),
    *("+quincy", "+sandro", "+travis"),
)
"""espeak's speakers."""
WORDS_A_MINUTE, PITCHES, PITCH_RANGES = (115, 250), (10, 90), (20, 90)
WORD_GAPS = (0, 0, 0, 1, 3)
SPEEDS = (0.84, 1.2)
"""Played so much faster: other formants, pitch and tempo at once."""
REVOICED_SHARE = 0.55
SILENCE_BEFORE_S, SILENCE_AFTER_S = 0.6, 0.5
LEVELS_DB = (-25.0, -1.0)
"""Of the peak against full scale."""
LONGEST_S, SHORTEST_S = 14.0, 1.0
_QUIETEST_PEAK = 1e-4
_HISS = 1e-5
_MOST_DRAWS = 100

PEOPLE: Mapping[str, float] = {
    **{"rms": 3, "slt": 3, "awb": 3, "kal16": 1},
    **{"ked_diphone": 1.5, "cmu_us_slt_arctic_hts": 2},
}
"""Voice made from recordings -> how often it speaks; kal is the roughest of them."""
PEOPLE_SLOWER, PEOPLE_SPEEDS, PEOPLE_PITCHES_HZ = (0.75, 1.35), (0.88, 1.15), (80.0, 230.0)
PEOPLE_PITCHED_SHARE, PEOPLE_REVOICED_SHARE = 0.7, 0.6

BABBLE_VOICES, BABBLE_S = 64, 4
TRAINING, HELD_OUT, BABBLE, PEOPLE_TRAINING, PEOPLE_HELD_OUT = range(5)
"""Which stream of random numbers an utterance comes from: none of one corpus is in another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """Clean speech and its phones."""

    sound: Sound
    segments: list[Segment]
    voice: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Utterance:
    """What the net learns from: features float16[t, 80] at 100 Hz, as the product hears, and the phones."""

    clean: NDArray[np.float16]
    recorded: NDArray[np.float16]
    segments: list[Segment]
    voice: str

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.clean) / FEATURE_RATE_HZ

    def save(self, path: Path) -> None:
        """Write it; a file that exists is whole."""
        part = path.with_suffix(".part.npz")
        np.savez(
            part,
            clean=self.clean,
            recorded=self.recorded,
            times_s=np.array([(one.start_s, one.stop_s) for one in self.segments]),
            symbols=np.array([one.symbol for one in self.segments]),
            voice=self.voice,
        )
        part.rename(path)

    @classmethod
    def load(cls, path: Path) -> "Utterance":
        """Read what `save` wrote."""
        with np.load(path) as stored:
            times_s, symbols = stored["times_s"].tolist(), stored["symbols"].tolist()
            segments = [
                Segment(start_s, stop_s, name) for (start_s, stop_s), name in zip(times_s, symbols, strict=True)
            ]
            return cls(
                clean=stored["clean"], recorded=stored["recorded"], segments=segments, voice=str(stored["voice"])
            )


Speaker = Callable[[Random], Spoken]


def espeak_speaker(espeak: Espeak, words: Sequence[str]) -> Speaker:
    """Somebody of espeak, who says something at some level; draws again where hardly anything was said."""

    def speak(random: Random) -> Spoken:
        for _ in range(_MOST_DRAWS):
            line = draw_line(random, words)
            manner = Manner(
                rate=int(random.uniform(*WORDS_A_MINUTE)),
                pitch=int(random.uniform(*PITCHES)),
                pitch_range=int(random.uniform(*PITCH_RANGES)),
                word_gap=WORD_GAPS[int(random.integers(len(WORD_GAPS)))],
            )
            speech = espeak.say(line.text, line.voice + pick(random, VARIANTS), manner)
            if len(speech.sound) >= SHORTEST_S * speech.rate_hz and np.abs(speech.sound).max() > _QUIETEST_PEAK:
                return _spoken(speech, line.voice, random.uniform(*SPEEDS), REVOICED_SHARE, random)
        raise OSError("espeak-ng says nothing")

    return speak


def people_speaker(words: Sequence[str]) -> Speaker:
    """Somebody who was recorded, and says something in English."""
    names, shares = tuple(PEOPLE), np.array(tuple(PEOPLE.values())) / sum(PEOPLE.values())

    def speak(random: Random) -> Spoken:
        text, voice = draw_english(random, words), str(random.choice(names, p=shares))
        is_pitched = random.random() < PEOPLE_PITCHED_SHARE
        speech = say(
            text,
            voice,
            slower=random.uniform(*PEOPLE_SLOWER),
            pitch_hz=random.uniform(*PEOPLE_PITCHES_HZ) if is_pitched else None,
        )
        return _spoken(speech, voice, random.uniform(*PEOPLE_SPEEDS), PEOPLE_REVOICED_SHARE, random)

    return speak


def _spoken(speech: Speech, voice: str, speed: float, revoiced_share: float, random: Random) -> Spoken:
    """Play speech faster (other formants, pitch and tempo at once), by somebody else perhaps, between two silences."""
    cut = speech.sound[: int(LONGEST_S * speech.rate_hz)]
    sound = signal.resample(cut, int(len(cut) * SAMPLE_RATE_HZ / (speech.rate_hz * speed))).astype(np.float32)
    phonemes = [(start_s / speed, name) for start_s, name in speech.phonemes]
    if random.random() < revoiced_share:
        sound = revoiced(sound, random)
    return _framed(sound, phonemes, voice, random)


def _framed(sound: Sound, phonemes: list[tuple[float, str]], voice: str, random: Random) -> Spoken:
    """Put silence around the speech and set its level."""
    before = int(random.uniform(0, SILENCE_BEFORE_S) * SAMPLE_RATE_HZ)
    after = int(random.uniform(0, SILENCE_AFTER_S) * SAMPLE_RATE_HZ)
    speech_s, before_s = len(sound) / SAMPLE_RATE_HZ, before / SAMPLE_RATE_HZ
    heard = [(before_s + start_s, name) for start_s, name in phonemes if start_s < speech_s]
    events = [(0.0, ""), *heard, (before_s + speech_s, "")]
    whole = np.pad(sound, (before, after))
    whole *= 10 ** (random.uniform(*LEVELS_DB) / 20) / np.abs(whole).max()
    return Spoken(sound=whole, segments=segments_of(events, len(whole) / SAMPLE_RATE_HZ), voice=voice)


def utterance(speaker: Speaker, babble: Sequence[Sound], seed: tuple[int, ...]) -> Utterance:
    """Make an utterance; `seed` is the run's seed, the corpus, and the number in it."""
    random = np.random.default_rng(seed)
    return heard(speaker(random), babble, random)


def heard(spoken: Spoken, babble: Sequence[Sound], random: Random) -> Utterance:
    """Hear what was spoken, once as it is and once badly recorded."""
    hiss = _HISS * random.standard_normal(len(spoken.sound)).astype(np.float32)
    return Utterance(
        clean=speech_features(spoken.sound + hiss).astype(np.float16),
        recorded=speech_features(degraded(spoken.sound, babble, random)).astype(np.float16),
        segments=spoken.segments,
        voice=spoken.voice,
    )


def babble_voices(espeak: Espeak, words: Sequence[str], seed: int, count: int) -> list[Sound]:
    """Make the people who talk in the background."""
    length = BABBLE_S * SAMPLE_RATE_HZ
    speaker = espeak_speaker(espeak, words)
    return [speaker(np.random.default_rng((seed, BABBLE, k))).sound[:length] for k in range(count)]


def make_corpus(folder: Path, words: Sequence[str], *, seed: int, corpus: int, count: int, processes: int = 1) -> None:
    """Fill a folder with utterances 0..count of a corpus (all but BABBLE); those that exist are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [k for k in range(count) if not path_of(folder, k).exists()]
    if not missing:
        return
    babble = babble_voices(Espeak(), words, seed, BABBLE_VOICES)
    shares = [missing[k::processes] for k in range(processes)]
    tasks = [(folder, words, babble, (seed, corpus), share) for share in shares]
    if processes == 1:
        _make_share(*tasks[0])
        return
    with get_context("spawn").Pool(processes) as pool:
        pool.starmap(_make_share, tasks, chunksize=1)


def _make_share(
    folder: Path, words: Sequence[str], babble: Sequence[Sound], stream: tuple[int, int], numbers: Sequence[int]
) -> None:
    by_people = stream[1] in (PEOPLE_TRAINING, PEOPLE_HELD_OUT)
    speaker = people_speaker(words) if by_people else espeak_speaker(Espeak(), words)
    for done, number in enumerate(numbers, start=1):
        utterance(speaker, babble, (*stream, number)).save(path_of(folder, number))
        if done % 100 == 0:
            print(f"{folder.name}: {done} of {len(numbers)}", flush=True)


def load_corpus(folder: Path, count: int) -> list[Utterance]:
    """Read utterances 0..count."""
    return [Utterance.load(path_of(folder, number)) for number in range(count)]


def path_of(folder: Path, number: int) -> Path:
    """Name the file of utterance `number`."""
    return folder / f"{number:05}.npz"
