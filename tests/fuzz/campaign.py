"""Several kinds of fuzzing, one after the other, for a number of executions or seconds each."""

import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from tests.fuzz import checkpoints, daemon, desk, media, structure
from tests.fuzz.house import House
from tests.fuzz.outcome import Tally

MUTANTS_AT_ONCE = 24
"""Pairs that one daemon gets."""
STRUCTURES_AT_ONCE = 50

Step = Callable[[], object]


def media_steps(folder: Path, seed: str, tally: Tally) -> Iterator[Step]:
    """Pictures and sounds through probe, render and verification, one a step."""
    stock = media.Stock.of(folder / "seeds")
    with House(folder / "house") as house:
        for mutant in media.mutants(stock, seed):
            yield lambda mutant=mutant: media.execute(house, stock, mutant, tally)


def structure_steps(folder: Path, seed: str, tally: Tally) -> Iterator[Step]:
    """The same files before the check of their structure; many a step, for each takes no time."""
    stock = media.Stock.of(folder / "seeds")
    mutants = media.mutants(stock, f"{seed}-structure")
    while True:
        yield lambda: [structure.execute(mutant, tally) for mutant in islice(mutants, STRUCTURES_AT_ONCE)]


def text_steps(folder: Path, seed: str, tally: Tally) -> Iterator[Step]:
    """Manifests, settings, tickets and records before an inbox, some a step."""
    texts = desk.texts(seed)
    for number in range(1 << 60):
        yield lambda number=number: desk.execute(folder / f"desk-{number}", list(islice(texts, desk.TOGETHER)), tally)


def checkpoint_steps(folder: Path, seed: str, tally: Tally) -> Iterator[Step]:
    """Weights through the converter, one a step."""
    checkpoints.make_seeds(folder / "weights")
    work, context = folder / "converter", checkpoints.nursery()
    for checkpoint in checkpoints.checkpoints(folder / "weights", seed, str(work / checkpoints.CANARY)):
        yield lambda checkpoint=checkpoint: checkpoints.execute(context, work, checkpoint, tally)


def daemon_steps(folder: Path, seed: str, tally: Tally) -> Iterator[Step]:
    """Pictures and sounds through a real daemon, many a step."""
    stock = media.Stock.of(folder / "seeds")
    mutants = media.mutants(stock, f"{seed}-daemon")
    for number in range(1 << 60):
        some = list(islice(mutants, MUTANTS_AT_ONCE))
        yield lambda number=number, some=some: daemon.execute(folder / f"daemon-{number}", stock, some, tally)


KINDS: dict[str, Callable[[Path, str, Tally], Iterator[Step]]] = {
    "media": media_steps,
    "daemon": daemon_steps,
    "texts": text_steps,
    "structure": structure_steps,
    "checkpoints": checkpoint_steps,
}
"""Name of a kind of fuzzing: what makes its steps."""


def run(kind: str, folder: Path, seed: str, tally: Tally, *, seconds: float = 0, executions: int = 0) -> Tally:
    """Fuzz until so many seconds have passed or so many executions are counted, whichever of the two is given."""
    ends_s = time.monotonic() + seconds
    steps = KINDS[kind](folder, seed, tally)
    try:
        for step in steps:
            step()
            if tally.executions >= executions if executions else time.monotonic() >= ends_s:
                break
    finally:
        steps.close()
    return tally
