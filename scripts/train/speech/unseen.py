"""What a net makes of sounds whose mouth nobody measured: silence, music, a pause between words, any speech."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.activity import SPEECH_FROM
from heygemd.render.speech.features import SAMPLE_RATE_HZ
from heygemd.render.speech.mouth import CONTACT_FULL, TRACK_RATE_HZ, MouthNet, MouthTracks
from heygemd.render.speech.readout import SPEAKING_FROM
from heygemd.render.speech.vocal_tract import class_probabilities, doubt_of
from scripts.train.speech.music import music

SILENCE_S, MUSIC_S = 4, 8
PAUSE_S = 2.0
PAUSE_MIDDLE_S = 1.0
"""The mouth has time to close before the middle of a pause, and to open again after it."""
QUIET_WINDOW_S = 0.05
PAUSE_WITHIN = (0.25, 0.75)
"""Part of a sound in which the pause is put, at its quietest moment: there is speech on both sides."""

Figures = dict[str, float]
Sound = NDArray[np.float32]


def still_sounds() -> dict[str, Sound]:
    """Make sounds at which a mouth stays shut, float32[n] at 16 kHz."""
    random, count = np.random.default_rng(0), SILENCE_S * SAMPLE_RATE_HZ
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    sounds = {
        "digital_silence": np.zeros(count),
        "white_noise": 0.03 * random.standard_normal(count),
        "hum": 0.05 * np.sin(2 * np.pi * 100 * time_s) + 0.02 * np.sin(2 * np.pi * 200 * time_s),
        **music(MUSIC_S),
    }
    return {name: sound.astype(np.float32) for name, sound in sounds.items()}


def silence_figures(listener: MouthNet) -> dict[str, Figures]:
    """Widest opening, and share of the time with an open gate, where nobody speaks: 0 is wanted."""
    figures = {}
    for name, sound in still_sounds().items():
        tracks = listener.listen(sound)
        figures[name] = {
            "widest_opening": float(tracks.opening.max()),
            "gate_share": float((tracks.gate > SPEAKING_FROM).mean()),
        }
    return figures


def with_pause(sound: Sound) -> tuple[Sound, float]:
    """Put PAUSE_S of digital silence into the quietest moment near the middle; returns the sound and where, in s."""
    window = round(QUIET_WINDOW_S * SAMPLE_RATE_HZ)
    first, last = (int(part * len(sound)) for part in PAUSE_WITHIN)
    starts = np.arange(first, max(first + 1, last - window), window // 4)
    loudness = [float((sound[start : start + window].astype(np.float64) ** 2).sum()) for start in starts]
    cut = min(int(starts[np.argmin(loudness)]) + window // 2, len(sound))
    silence = np.zeros(round(PAUSE_S * SAMPLE_RATE_HZ), np.float32)
    return np.concatenate([sound[:cut], silence, sound[cut:]]), cut / SAMPLE_RATE_HZ


def pause_opening(listener: MouthNet, sound: Sound) -> float:
    """Widest opening in the middle of a pause that is put between the words of a sound."""
    padded, start_s = with_pause(sound)
    middle_s = start_s + PAUSE_S / 2
    first, last = (round((middle_s + side * PAUSE_MIDDLE_S / 2) * TRACK_RATE_HZ) for side in (-1, 1))
    return float(listener.listen(padded).opening[first : last + 1].max())


def speech_figures(every: Sequence[MouthTracks]) -> Figures:
    """How much the mouth does over speech, all sounds together; beside another language's it tells what is missed.

    The finished opening has the range of its own sound, so that its deviation says little; that of the raw one is the
    net's. Closures are stretches over which contact is complete. The doubt is the entropy among the sounding classes
    in nats. What takes speech is 0 where there is none.
    """
    voiced = [tracks.gate > SPEAKING_FROM for tracks in every]
    spoken = np.concatenate(voiced)
    opening, raw = (
        np.concatenate([getattr(tracks, name)[heard] for tracks, heard in zip(every, voiced, strict=True)])
        for name in ("opening", "opening_raw")
    )
    closures = sum(_begins(tracks.closure >= CONTACT_FULL) for tracks in every)
    doubt = np.concatenate(
        [doubt_of(class_probabilities(one.answers.astype(np.float32)))[one.speech > SPEECH_FROM] for one in every]
    )
    return {
        "voiced_share": float(spoken.mean()),
        "closures_per_voiced_s": closures * TRACK_RATE_HZ / max(1, int(spoken.sum())),
        "opening_mean": float(opening.mean()) if len(opening) else 0.0,
        "opening_deviation": float(opening.std()) if len(opening) else 0.0,
        "raw_opening_mean": float(raw.mean()) if len(raw) else 0.0,
        "raw_opening_deviation": float(raw.std()) if len(raw) else 0.0,
        "doubt": float(doubt.mean()) if len(doubt) else 0.0,
    }


def _begins(mask: NDArray[np.bool_]) -> int:
    """Count the stretches in which the mask is true."""
    return int((np.diff(np.concatenate([[0], mask.astype(np.int8)])) == 1).sum())
