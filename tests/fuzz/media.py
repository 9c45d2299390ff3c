"""Mutated pictures and sounds on the way that all media go: probe, analyse, render, join, verify.

Each execution mutates one of the two files; the other is good, so that what is wrong has one cause.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random

from tests.fuzz import seeds
from tests.fuzz.house import House
from tests.fuzz.mutations import mutated
from tests.fuzz.outcome import Ending, Tally
from tests.fuzz.seeds import Seed

GOOD_PICTURE, GOOD_SOUND = "plain.mp4", "plain.wav"
OTHER_FORMAT_SHARE = 0.1
"""Of the mutations that take parts of another file, these take them of any; the rest of a file of the same format."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stock:
    """The seeds, and the folder they lie in."""

    folder: Path
    pictures: dict[Seed, bytes]
    sounds: dict[Seed, bytes]

    @classmethod
    def of(cls, folder: Path) -> "Stock":
        """Make them, or find them made."""
        folder.mkdir(parents=True, exist_ok=True)
        pictures, sounds = (seeds.make_all(group, folder) for group in (seeds.PICTURES, seeds.SOUNDS))
        return cls(folder=folder, pictures=pictures, sounds=sounds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutant:
    """One input, which `seed` and `number` tell exactly."""

    label: str
    is_picture: bool
    data: bytes


def mutants(stock: Stock, seed: str) -> Iterator[Mutant]:
    """Inputs without end, the formats in turn; the same for the same seed, and the same ffmpeg that made the stock."""
    everything = [*stock.pictures.items(), *stock.sounds.items()]
    number = 0
    while True:
        order = list(everything)
        Random(f"{seed}/{number}").shuffle(order)
        for one, content in order:
            luck = Random(f"{seed}/{number}/{one.name}")
            alike = [other for other, _ in everything if other.take_apart is one.take_apart]
            other = luck.choice(everything)[0] if luck.random() < OTHER_FORMAT_SHARE else luck.choice(alike)
            data = mutated(one, content, (stock.pictures | stock.sounds)[other], luck)
            label = f"{seed}-{number}-{one.name}"
            yield Mutant(label=label, is_picture=one in stock.pictures, data=data)
            number += 1


def execute(house: House, stock: Stock, mutant: Mutant, tally: Tally) -> None:
    """Let the house make a film of it."""
    file = house.folder / f"input{Path(mutant.label).suffix}"
    file.write_bytes(mutant.data)
    try:
        pair = (file, stock.folder / GOOD_SOUND) if mutant.is_picture else (stock.folder / GOOD_PICTURE, file)
        tally.note(mutant.label, mutant.data, house.make(*pair))
    finally:
        file.unlink()


def refused_good_ones(house: House, stock: Stock) -> list[str]:
    """Names of seeds of which no film could be made as they are: with those nothing would be tested."""
    refused = []
    for group, is_picture in ((stock.pictures, True), (stock.sounds, False)):
        for seed in group:
            file = stock.folder / seed.name
            pair = (file, stock.folder / GOOD_SOUND) if is_picture else (stock.folder / GOOD_PICTURE, file)
            outcome = house.make(*pair)
            if outcome.ending is not Ending.USED:
                refused.append(f"{seed.name}: {outcome.ending} {outcome.code} {outcome.reason}")
    return refused
