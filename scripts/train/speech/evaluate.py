"""How good is a weights file? On held-out synthetic speech, on GRID, on silence, and on any talkers that are given.

    python -m scripts.train.speech.evaluate WEIGHTS [--work WORK] [--grid CLIPS --curves CURVES]
        [--talker SOUND CURVES.npz] ...

Held-out speech is that of a work folder of rebuild.py. GRID clips took part in the training of the shipped weights:
their figures tell whether two runs are alike, not how the net fares with strangers. CURVES.npz holds time_s, opening
and width of the talker. Prints JSON.
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from heygemd.render.speech.features import SAMPLE_RATE_HZ
from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthNet
from heygemd.render.speech.network import CLASSES, CLOSURE, OPENING, WIDTH, SpeechNet
from scripts.train.speech.coarticulation import Calibration
from scripts.train.speech.corpus import load_corpus
from scripts.train.speech.crops import Example, synthetic_example
from scripts.train.speech.export import load_weights, product_with
from scripts.train.speech.grid import GridClip, load_clips, read_sound

CLOSED_FROM = 0.4
"""Probability from which a closure counts as found."""
LAGS_S = np.round(np.arange(-0.16, 0.3201, 0.02), 2)
"""Offsets of sound and picture that clips are known to have."""

Figures = dict[str, float]


def pearson(one: NDArray[np.floating], other: NDArray[np.floating]) -> float:
    """Correlation; 0 where one of them does not move."""
    one, other = one - one.mean(), other - other.mean()
    return float((one * other).sum() / np.sqrt((one**2).sum() * (other**2).sum() + 1e-12))


def synthetic_figures(net: SpeechNet, examples: Sequence[Example], *, recorded: bool) -> Figures:
    """Compare answers with targets over all frames of synthetic utterances."""
    heard = [one.recorded if recorded else one.clean for one in examples]
    answers = [net.answer(features.astype(np.float32)) for features in heard]
    counts = [min(len(answer), len(one.targets)) for answer, one in zip(answers, examples, strict=True)]
    answer = np.concatenate([one[:count] for one, count in zip(answers, counts, strict=True)])
    target = np.concatenate([one.targets[:count] for one, count in zip(examples, counts, strict=True)])
    mouth_class = np.concatenate([one.classes[:count] for one, count in zip(examples, counts, strict=True)])
    found = answer[:, CLOSURE] > np.log(CLOSED_FROM / (1 - CLOSED_FROM))
    real = target[:, CLOSURE] > 0.5
    return {
        "opening_r": pearson(answer[:, OPENING], target[:, OPENING]),
        "width_r": pearson(answer[:, WIDTH], target[:, WIDTH]),
        "closure_recall": float((found & real).sum() / max(1, real.sum())),
        "closure_precision": float((found & real).sum() / max(1, found.sum())),
        "class_accuracy": float((answer[:, CLASSES].argmax(axis=1) == mouth_class).mean()),
    }


def grid_figures(net: SpeechNet, clips: Sequence[GridClip]) -> Figures:
    """Mean Pearson r of the bare net over clips, at lag 0."""
    pairs = []
    for clip in clips:
        answer, place = net.answer(clip.features), clip.time_s * TRACK_RATE_HZ
        tracks = (np.interp(place, np.arange(len(answer)), answer[:, column]) for column in (OPENING, WIDTH))
        pairs.append([pearson(*pair) for pair in zip(tracks, (clip.opening, clip.width), strict=True)])
    opening, width = np.mean(pairs, axis=0)
    return {"opening_r": float(opening), "width_r": float(width)}


def silence_figures(listener: MouthNet) -> Figures:
    """Widest opening where nobody speaks: 0 is wanted."""
    random, count = np.random.default_rng(0), 4 * SAMPLE_RATE_HZ
    time_s = np.arange(count) / SAMPLE_RATE_HZ
    sounds = {
        "digital_silence": np.zeros(count),
        "white_noise": 0.03 * random.standard_normal(count),
        "hum": 0.05 * np.sin(2 * np.pi * 100 * time_s) + 0.02 * np.sin(2 * np.pi * 200 * time_s),
    }
    return {name: float(listener.listen(sound.astype(np.float32)).opening.max()) for name, sound in sounds.items()}


def talker_figures(listener: MouthNet, sound: Path, curves: Path) -> Figures:
    """Pearson r of a finished curve with a talker's measured mouth, at lag 0 and at the lag that fits best."""
    tracks = listener.listen(read_sound(sound))
    with np.load(curves) as stored:
        time_s, measured = stored["time_s"], {name: stored[name] for name in ("opening", "width")}
    seen = np.isfinite(measured["opening"]) & np.isfinite(measured["width"])
    time_s = time_s[seen]
    frame_s = float(np.median(np.diff(time_s)))

    def likeness(lag_s: float) -> tuple[float, float]:
        curve = tracks.at(time_s + lag_s, frame_s)
        return pearson(curve.opening, measured["opening"][seen]), pearson(curve.width, measured["width"][seen])

    best_lag_s = max(LAGS_S, key=lambda lag_s: sum(likeness(lag_s)))
    figures = {"lag_s": float(best_lag_s)}
    for name, lag_s in (("lag_0", 0.0), ("fitted_lag", best_lag_s)):
        figures[f"opening_r_{name}"], figures[f"width_r_{name}"] = likeness(lag_s)
    return figures


def _rounded(figures: Figures) -> Figures:
    return {name: round(value, 3) for name, value in figures.items()}


def evaluate(
    weights: Path, *, work: Path | None, grid: tuple[Path, Path] | None, talkers: Sequence[tuple[Path, Path]]
) -> dict[str, Figures]:
    """Measure everything that there is material for."""
    net, _ = load_weights(weights)
    listener = product_with(weights)
    report = {"silence": silence_figures(listener)}
    if work is not None:
        calibration = Calibration.load(work / "calibration.json")
        held_out = load_corpus(work / "held_out", len(list((work / "held_out").glob("?????.npz"))))
        examples = [synthetic_example(one, calibration) for one in held_out]
        report["held_out_clean"] = synthetic_figures(net, examples, recorded=False)
        report["held_out_recorded"] = synthetic_figures(net, examples, recorded=True)
    if grid is not None:
        report["grid_training_clips"] = grid_figures(net, load_clips(*grid))
    for sound, curves in talkers:
        report[sound.stem] = talker_figures(listener, sound, curves)
    return {name: _rounded(figures) for name, figures in report.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, help="work folder of rebuild.py, for held-out synthetic speech")
    parser.add_argument("--grid", type=Path, help="folder of the GRID clips")
    parser.add_argument("--curves", type=Path, help="folder of their measured mouths")
    parser.add_argument("--talker", type=Path, nargs=2, action="append", default=[], metavar=("SOUND", "CURVES"))
    arguments = parser.parse_args()
    grid = (arguments.grid, arguments.curves) if arguments.grid and arguments.curves else None
    talkers = [(sound, curves) for sound, curves in arguments.talker]
    report = evaluate(arguments.weights, work=arguments.work, grid=grid, talkers=talkers)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
