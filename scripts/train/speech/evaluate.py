"""How good is a weights file? On held-out synthetic speech, GRID, silence, music, and on any talkers that are given.

    python -m scripts.train.speech.evaluate WEIGHTS [--work WORK] [--grid CLIPS --curves CURVES]
        [--talker SOUND CURVES.npz] ... [--talkers CLIPS --measured CURVES [--lags-of WEIGHTS]]
        [--mandarin SOUND...] [--english SOUND...] [--markdown]

Held-out speech is that of a work folder of rebuild.py. GRID clips took part in the training of the shipped weights:
their figures tell whether two runs are alike, not how the net fares with strangers. CURVES.npz holds time_s, opening
and width of the talker; a folder of CURVES one for each clip, by its name. With --lags-of, another file's figures are
taken from these, clip by clip: whether the differences exceed their errors decides which one ships. Prints JSON.
"""

import argparse
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import structlog

from heygemd.render.speech.mouth import TRACK_RATE_HZ, MouthNet
from heygemd.render.speech.network import CLASSES, CLOSURE, OPENING, WIDTH, SpeechNet
from scripts.train.speech.coarticulation import Calibration
from scripts.train.speech.corpus import load_corpus
from scripts.train.speech.crops import Example, synthetic_example
from scripts.train.speech.export import load_weights, product_with
from scripts.train.speech.grid import GridClip, load_clips, read_sound
from scripts.train.speech.talkers import (
    FINISHED,
    KINDS,
    RAW,
    ClosureCount,
    Spread,
    Talker,
    TalkerFigures,
    load_talker,
    load_talkers,
    measured_talker,
    measured_talkers,
    paired,
    pearson,
    spreads,
)
from scripts.train.speech.texts import PINYIN_VOICE
from scripts.train.speech.unseen import Figures, pause_opening, silence_figures, speech_figures

CLOSED_FROM = 0.4
"""Probability from which a closure counts as found."""
STRANGERS, GRID = "strangers", "grid"
"""Groups of talkers: a net may have learned from the clips of GRID."""

_LIKENESS = tuple(f"{part}_r_{lag}" for lag in ("lag_0", "fitted_lag") for part in ("opening", "width"))

Report = dict[str, Any]
"""Figures by name, in groups and groups of groups; None where there is no value."""


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


def work_figures(net: SpeechNet, work: Path) -> dict[str, Figures]:
    """Compare answers with targets over held-out synthetic speech, of all languages and of Mandarin alone."""
    calibration = Calibration.load(work / "calibration.json")
    held_out = load_corpus(work / "held_out", len(list((work / "held_out").glob("?????.npz"))))
    groups = {"held_out": held_out, "held_out_mandarin": [one for one in held_out if one.voice == PINYIN_VOICE]}
    report = {}
    for name, utterances in groups.items():
        examples = [synthetic_example(one, calibration) for one in utterances]
        for state in ("clean", "recorded") if examples else ():
            report[f"{name}_{state}"] = synthetic_figures(net, examples, recorded=state == "recorded")
    return report


def talker_figures(listener: MouthNet, sound: Path, curves: Path) -> Figures:
    """Pearson r of a finished curve with a talker's measured mouth, at lag 0 and at the lag that fits best."""
    talker = load_talker(sound, curves)
    measured = measured_talker(listener.listen(talker.sound), talker)
    likeness = {name: measured.likeness[f"{FINISHED}_{name}"] for name in _LIKENESS}
    return {"lag_s": measured.lags_s[FINISHED], **likeness}


def talkers_report(listener: MouthNet, talkers: Sequence[Talker], other: MouthNet | None) -> Report:
    """Measure talkers, strangers and GRID apart; with another net at the lags that fit its curves, and the difference.

    Lags that were fitted to the other net favour it. So the difference is told at each net's own lags, too.
    """
    own = measured_talkers(listener, talkers)
    if other is None:
        return {name: group_report(group) for name, group in _groups(own)}
    others = measured_talkers(other, talkers)
    same = measured_talkers(listener, talkers, {one.name: one.lags_s for one in others})
    report: Report = {name: group_report(group) for name, group in _groups(same)}
    for title, measured in (("less_other_at_its_lags", same), ("less_other_at_own_lags", own)):
        pairs = zip(_groups(measured), _groups(others), strict=True)
        report[title] = {name: _spread_report(paired(group, beside)) for (name, group), (_, beside) in pairs}
    return report


def group_report(measured: Sequence[TalkerFigures]) -> Report:
    """Bring figures of talkers together: means and errors over clips, closures counted over all of them."""
    closures = sum((one.closures for one in measured), ClosureCount())
    chance = sum((one.chance for one in measured), ClosureCount())
    found: Report = {"real": closures.real, "claimed": closures.claimed}
    shares = {
        "recall": closures.recall,
        "precision": closures.precision,
        "chance_recall": chance.recall,
        "chance_precision": chance.precision,
    }
    return {
        "clips": len(measured),
        **_spread_report(spreads(measured)),
        "closures": found | {name: share if np.isfinite(share) else None for name, share in shares.items()},
        "lags_s": {kind: {one.name: one.lags_s[kind] for one in measured} for kind in KINDS},
    }


def pause_report(listener: MouthNet, talkers: Sequence[Talker]) -> Report:
    """Widest opening in the middle of a pause between a talker's words, by talker and at most: 0 is wanted."""
    widest = {talker.name: pause_opening(listener, talker.sound) for talker in talkers}
    return {"widest_opening": max(widest.values()), "by_talker": dict(widest)}


def language_report(listener: MouthNet, sounds: Sequence[Path]) -> Report:
    """Say how much the mouth does over each sound and over all of them."""
    every = {path.name: listener.listen(read_sound(path)) for path in sounds}
    each: Report = {name: dict(speech_figures([tracks])) for name, tracks in every.items()}
    return {"together": dict(speech_figures(list(every.values()))), **each}


def markdown_row(title: str, talkers: Mapping[str, Report]) -> str:
    """Write the row of the ablation table: raw answers, opening/width, means and standard errors over the clips.

    | weights | strangers, lag 0 | fitted lag ± | GRID, lag 0 | fitted lag ± | closures, recall/precision, strangers |
    """
    cells = [title]
    for name in (STRANGERS, GRID):
        cells += [_pair(talkers.get(name), "lag_0", errors=False), _pair(talkers.get(name), "fitted_lag", errors=True)]
    closures = talkers[STRANGERS]["closures"] if STRANGERS in talkers else {}
    shares = [closures.get(name) for name in ("recall", "precision")]
    cells.append("/".join("–" if share is None else f"{share:.2f}" for share in shares))
    return f"| {' | '.join(cells)} |"


def _pair(group: Report | None, lag: str, *, errors: bool) -> str:
    if group is None:
        return "–"
    spread = [group[f"{RAW}_{part}_r_{lag}"] for part in ("opening", "width")]
    text = "/".join(f"{one['mean']:.3f}" for one in spread)
    told = "/".join("–" if one["se"] is None else f"{one['se']:.3f}" for one in spread)
    return f"{text} ± {told}" if errors else text


def _groups(measured: Iterable[TalkerFigures]) -> list[tuple[str, list[TalkerFigures]]]:
    groups: dict[str, list[TalkerFigures]] = {STRANGERS: [], GRID: []}
    for one in measured:
        groups[GRID if one.is_grid else STRANGERS].append(one)
    return [(name, group) for name, group in groups.items() if group]


def _spread_report(values: Mapping[str, Spread]) -> Report:
    return {name: {"mean": one.mean, "se": one.error} for name, one in values.items()}


def _rounded(report: Mapping[str, object]) -> Report:
    return {
        name: _rounded(value) if isinstance(value, Mapping) else round(value, 3) if isinstance(value, float) else value
        for name, value in report.items()
    }


def evaluate(
    weights: Path,
    *,
    work: Path | None,
    grid: tuple[Path, Path] | None,
    talkers: Sequence[tuple[Path, Path]],
    measured: Sequence[Talker] = (),
    lags_of: Path | None = None,
    languages: Mapping[str, Sequence[Path]] | None = None,
) -> Report:
    """Measure everything that there is material for."""
    net, _ = load_weights(weights)
    listener = product_with(weights)
    report: Report = {"silence": silence_figures(listener)}
    if work is not None:
        report |= work_figures(net, work)
    if grid is not None:
        report["grid_training_clips"] = grid_figures(net, load_clips(*grid))
    for sound, curves in talkers:
        report[sound.stem] = talker_figures(listener, sound, curves)
    if measured:
        report["talkers"] = talkers_report(listener, measured, product_with(lags_of) if lags_of else None)
        report["pause"] = pause_report(listener, measured)
    for name, sounds in (languages or {}).items():
        report[name] = language_report(listener, sounds)
    return _rounded(report)


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--work", type=Path, help="work folder of rebuild.py, for held-out synthetic speech")
    parser.add_argument("--grid", type=Path, help="folder of the GRID clips")
    parser.add_argument("--curves", type=Path, help="folder of their measured mouths")
    parser.add_argument("--talker", type=Path, nargs=2, action="append", default=[], metavar=("SOUND", "CURVES"))
    parser.add_argument("--talkers", type=Path, metavar="CLIPS", help="folder of clips of talkers")
    parser.add_argument("--measured", type=Path, metavar="CURVES", help="folder of their measured mouths")
    parser.add_argument("--lags-of", type=Path, metavar="WEIGHTS", help="compare with this file, at its lags")
    parser.add_argument("--mandarin", type=Path, nargs="+", default=[], metavar="SOUND")
    parser.add_argument("--english", type=Path, nargs="+", default=[], metavar="SOUND")
    parser.add_argument("--markdown", action="store_true", help="end with a row of the ablation table")
    arguments = parser.parse_args()
    if bool(arguments.talkers) != bool(arguments.measured):
        parser.error("--talkers and --measured belong together")
    if not arguments.talkers and (arguments.lags_of or arguments.markdown):
        parser.error("--lags-of and --markdown need --talkers")
    return arguments


def main() -> None:
    arguments = read_arguments()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))  # stdout is for figures
    named = {"mandarin": arguments.mandarin, "english": arguments.english}
    report = evaluate(
        arguments.weights,
        work=arguments.work,
        grid=(arguments.grid, arguments.curves) if arguments.grid and arguments.curves else None,
        talkers=[(sound, curves) for sound, curves in arguments.talker],
        measured=load_talkers(arguments.talkers, arguments.measured) if arguments.talkers else (),
        lags_of=arguments.lags_of,
        languages={name: sounds for name, sounds in named.items() if sounds},
    )
    print(json.dumps(report, indent=1))
    if arguments.markdown:
        print(markdown_row(arguments.weights.stem, report["talkers"]))


if __name__ == "__main__":
    main()
