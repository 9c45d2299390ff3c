"""Rebuilds the speech weights from nothing: corpora, rules, alignment, calibration, training, ranges, file.

    python -m scripts.train.speech.rebuild WORK --grid CLIPS (--labeller ENVIRONMENT | --curves CURVES)
        --recordings FLACS (--phoner ENVIRONMENT | --phones LABELS) [--words LIST] [--seed N] [--processes N] [--part F]

Run from the root of the checkout. Every stage leaves its result in WORK and is skipped when that exists, so a run that
was broken off is continued; take an empty WORK for a clean one. `--part .02` runs the whole chain in small.
"""

import argparse
import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from heygemd.render.speech.network import SpeechNet
from scripts.train.speech.align import aligned, load_alignments, save_alignments
from scripts.train.speech.calibrate import fitted, left_out_likeness, lesson_of, mean_likeness
from scripts.train.speech.coarticulation import Calibration
from scripts.train.speech.corpus import (
    BABBLE_VOICES,
    HELD_OUT,
    PEOPLE_TRAINING,
    TRAINING,
    Utterance,
    babble_voices,
    load_corpus,
    make_corpus,
)
from scripts.train.speech.crops import CropDealer, Pool, synthetic_example
from scripts.train.speech.espeak import Espeak
from scripts.train.speech.evaluate import evaluate, synthetic_figures
from scripts.train.speech.export import answer_range, save_weights
from scripts.train.speech.grid import GridClip, find_clips, load_clips
from scripts.train.speech.recordings import find_recordings, make_recorded_corpus
from scripts.train.speech.texts import WORD_LIST, read_words
from scripts.train.speech.train import Stage, load_net, save_net, trained

UTTERANCES, PEOPLE_UTTERANCES = 2_040, 1_600
"""About 15,000 and 9,000 s."""
HELD_OUT_UTTERANCES = 32
LEAST_UTTERANCES, LEAST_STEPS = 8, 20
CALIBRATION_STEPS, LEFT_OUT_STEPS = 150, 80
HERE = Path(__file__).parent
ESPEAK, PEOPLE, RECORDED = "espeak", "people", "recorded"
"""Kinds of material."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """Everything that a run depends on beside its material."""

    seed: int
    utterances: int
    people: int
    held_out: int
    rules: Stage
    """Synthetic speech, uncalibrated: good enough to align GRID with."""
    learning: tuple[Stage, ...]
    """With calibrated targets, one after the other: each begins with the net that the one before it left."""


def recipe_of(seed: int, part: float) -> Recipe:
    """Return the recipe of the shipped weights, or a part of its corpora and steps."""

    def steps(whole: int) -> int:
        return max(LEAST_STEPS, round(part * whole))

    def utterances(whole: int) -> int:
        return max(LEAST_UTTERANCES, round(part * whole))

    return Recipe(
        seed=seed,
        utterances=utterances(UTTERANCES),
        people=utterances(PEOPLE_UTTERANCES),
        held_out=utterances(HELD_OUT_UTTERANCES),
        rules=Stage(name="rules", steps=steps(2_200), learning_rate=2e-3, crops={ESPEAK: 10, PEOPLE: 10}, seed=seed),
        learning=(
            Stage(name="voices", steps=steps(3_000), learning_rate=2e-3, crops={ESPEAK: 10, PEOPLE: 10}, seed=seed),
            Stage(
                name="people",
                steps=steps(1_200),
                learning_rate=1e-3,
                crops={ESPEAK: 6, PEOPLE: 6, RECORDED: 8},
                seed=seed,
            ),
            Stage(
                name="final",
                steps=steps(420),
                learning_rate=5e-4,
                crops={ESPEAK: 6, PEOPLE: 6, RECORDED: 8},
                seed=seed + 2,
            ),
        ),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What a run learns from, and what it is watched on."""

    spoken: Mapping[str, list[Utterance]]
    """Kind -> utterances."""
    held_out: list[Utterance]
    clips: list[GridClip]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where a run finds what it did not make."""

    words: tuple[str, ...]
    recordings: Path
    phones: Path
    """Labels of label_recordings.py."""


def measured_curves(work: Path, grid: Path, labeller: Path) -> Path:
    """Measure the mouths of the GRID clips in the labeller's own environment."""
    curves, clips = work / "curves", find_clips(grid)
    if not all((curves / f"{path.stem}.npz").exists() for path in clips.values()):
        subprocess.run([labeller / "bin" / "python", HERE / "measure_mouths.py", grid, curves], check=True)
    return curves


def heard_phones(work: Path, recordings: Path, phoner: Path) -> Path:
    """Find the phones of the recordings in the environment of PocketSphinx; what was found before stays."""
    labels = work / "phones"
    subprocess.run([phoner / "bin" / "python", HERE / "label_recordings.py", recordings, labels], check=True)
    return labels


def gather(work: Path, recipe: Recipe, clips: list[GridClip], sources: Sources, processes: int) -> Material:
    """Make or find the corpora."""
    for folder, corpus, count in (
        (ESPEAK, TRAINING, recipe.utterances),
        (PEOPLE, PEOPLE_TRAINING, recipe.people),
        ("held_out", HELD_OUT, recipe.held_out),
    ):
        make_corpus(work / folder, sources.words, seed=recipe.seed, corpus=corpus, count=count, processes=processes)
    babble = babble_voices(Espeak(), sources.words, recipe.seed, BABBLE_VOICES)
    recordings = find_recordings(sources.recordings)
    recorded = make_recorded_corpus(work / RECORDED, recordings, sources.phones, babble, recipe.seed)
    counts = {ESPEAK: recipe.utterances, PEOPLE: recipe.people, RECORDED: recorded}
    return Material(
        spoken={kind: load_corpus(work / kind, count) for kind, count in counts.items()},
        held_out=load_corpus(work / "held_out", recipe.held_out),
        clips=clips,
    )


class Rebuild:
    """One run in a work folder."""

    def __init__(self, work: Path, recipe: Recipe, material: Material) -> None:
        self._work, self._recipe, self._material = work, recipe, material

    def weights(self) -> Path:
        """Go through all stages and return the file."""
        rules = self._net(self._recipe.rules, Calibration.rules())
        self._align(rules)
        calibration = self._calibration()
        net: SpeechNet | None = None
        for stage in self._recipe.learning:
            net = self._net(stage, calibration, net)
        assert net is not None
        return self._file(net)

    def _net(self, stage: Stage, calibration: Calibration, initial: SpeechNet | None = None) -> SpeechNet:
        path = self._work / f"{stage.name}.pt"
        if not path.exists():
            save_net(self._trained(stage, calibration, initial), path)
        return load_net(path)

    def _trained(self, stage: Stage, calibration: Calibration, initial: SpeechNet | None) -> SpeechNet:
        held_out = [synthetic_example(one, calibration) for one in self._material.held_out]

        def report(net: SpeechNet) -> str:
            figures = synthetic_figures(net, held_out, recorded=True)
            return "  ".join(f"{name} {value:.3f}" for name, value in figures.items())

        pools = [
            Pool(examples=[synthetic_example(one, calibration) for one in self._material.spoken[kind]], crops=crops)
            for kind, crops in stage.crops.items()
        ]
        return trained(stage, CropDealer(pools, stage.seed), initial, report=report)

    def _align(self, net: SpeechNet) -> None:
        path = self._work / "alignments.json"
        if not path.exists():
            espeak = Espeak()
            save_alignments(path, {clip.code: aligned(clip, net, espeak) for clip in self._material.clips})

    def _calibration(self) -> Calibration:
        path = self._work / "calibration.json"
        if not path.exists():
            alignments = load_alignments(self._work / "alignments.json")
            lessons = [lesson_of(clip, alignments[clip.code]) for clip in self._material.clips]
            calibration = fitted(lessons, CALIBRATION_STEPS)
            for name, pair in (
                ("by the rules", mean_likeness(lessons, Calibration.rules())),
                ("fitted", mean_likeness(lessons, calibration)),
                ("fitted without the clip", left_out_likeness(lessons, LEFT_OUT_STEPS)),
            ):
                print(f"GRID, {name}: r of opening {pair[0]:.3f}, of width {pair[1]:.3f}", flush=True)
            calibration.save(path)
        return Calibration.load(path)

    def _file(self, net: SpeechNet) -> Path:
        path = self._work / "mouth_fp16.safetensors"
        clips = [clip.features for clip in self._material.clips]
        synthetic = [one.clean.astype(np.float32) for one in self._material.held_out]
        save_weights(path, net, answer_range(net, clips, synthetic))
        return path


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path)
    parser.add_argument(
        "--grid", type=Path, required=True, help="folder of the GRID clips, <code>.mpg or grid_<code>.mpg"
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--labeller", type=Path, help="environment with mediapipe 0.10.21 (scripts/train/face makes it)"
    )
    source.add_argument("--curves", type=Path, help="folder of mouths that measure_mouths.py has measured")
    parser.add_argument("--recordings", type=Path, required=True, help="folder of LibriSpeech (see recordings.py)")
    heard = parser.add_mutually_exclusive_group(required=True)
    heard.add_argument("--phoner", type=Path, help="environment with pocketsphinx (see label_recordings.py)")
    heard.add_argument("--phones", type=Path, help="folder of phones that label_recordings.py has found")
    parser.add_argument("--words", type=Path, default=WORD_LIST, help="word list (Debian: wamerican-small)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="for making the corpus; it does not depend on it")
    parser.add_argument("--part", type=float, default=1.0, help="of the corpus and of the steps")
    return parser.parse_args()


def main() -> None:
    arguments = read_arguments()
    os.environ["OMP_NUM_THREADS"] = "1"
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    work: Path = arguments.work
    work.mkdir(parents=True, exist_ok=True)
    recipe = recipe_of(arguments.seed, arguments.part)
    curves = arguments.curves or measured_curves(work, arguments.grid, arguments.labeller)
    phones = arguments.phones or heard_phones(work, arguments.recordings, arguments.phoner)
    sources = Sources(words=read_words(arguments.words), recordings=arguments.recordings, phones=phones)
    material = gather(work, recipe, load_clips(arguments.grid, curves), sources, arguments.processes)
    path = Rebuild(work, recipe, material).weights()
    report = evaluate(path, work=work, grid=(arguments.grid, curves), talkers=())
    (work / "figures.json").write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
