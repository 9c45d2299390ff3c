"""Mutated media through a real inbox: a real daemon with its desks and workers, many pairs at once."""

import shutil
from functools import partial
from pathlib import Path

from tests.corpus import case
from tests.corpus.case import Case, Seen, renders
from tests.corpus.inbox import Inbox
from tests.fuzz.house import DEAD_WORKER
from tests.fuzz.media import GOOD_PICTURE, GOOD_SOUND, Mutant, Stock
from tests.fuzz.outcome import HARMLESS, Ending, Outcome, Tally

LIMIT_S = 240.0
MORE_CONFIG = """
[limits]
stall_s = 20
probe_wall_s = 20
max_duration_s = 6
max_frames = 1000
"""
"""As in the house."""


def execute(folder: Path, stock: Stock, mutants: list[Mutant], tally: Tally) -> None:
    """Drop them all, run a daemon until it rests, and say what became of each."""
    inbox = Inbox(folder, more_config=MORE_CONFIG)
    inbox.prepare()
    cases = [_case(stock, number, mutant) for number, mutant in enumerate(mutants)]
    inbox.drop(cases)
    try:
        inbox.run(cases, limit_s=LIMIT_S)
    except AssertionError as error:
        inbox.troubles.append(f"the daemon ended: {error}")
    for one, mutant in zip(cases, mutants, strict=True):
        tally.note(mutant.label, mutant.data, outcome_of(inbox.seen.get(one.name)))
    for trouble in inbox.troubles:
        is_dead = "daemon ended" in trouble
        ending = Ending.DEATH if is_dead else Ending.FAULT
        tally.note("all", inbox.log.read_bytes(), Outcome(ending=ending, reason=trouble))
    shutil.rmtree(folder)


def outcome_of(seen: Seen | None) -> Outcome:
    """What became of a pair: a film, a code, or nothing at all, which is never right."""
    if seen is None or seen.ending in (case.Ending.WAIT, case.Ending.IGNORE):
        # Of a file whose structure looks unfinished people are told, and it goes on after a while; here that is short.
        return Outcome(
            ending=Ending.PAUSE, code=" ".join(sorted(seen.codes)) if seen else "", reason="left in the inbox"
        )
    if seen.troubles:
        return Outcome(ending=Ending.FAULT, reason="; ".join(seen.troubles))
    if seen.ending is case.Ending.RENDER:
        return Outcome(ending=Ending.USED)
    code = " ".join(sorted(seen.codes))
    if code == DEAD_WORKER:
        return Outcome(ending=Ending.CRASH, code=code, reason=seen.message)
    ending = Ending.REFUSED if code.startswith("E1") else Ending.FAULT
    assert ending is Ending.FAULT or ending in HARMLESS
    return Outcome(ending=ending, code=code, reason=seen.message)


def _case(stock: Stock, number: int, mutant: Mutant) -> Case:
    return Case(
        name=f"m{number:03d}", group="fuzz", story=mutant.label, drop=partial(_drop, stock, mutant), answer=renders()
    )


def _drop(stock: Stock, mutant: Mutant, place: Path) -> None:
    suffix = Path(mutant.label).suffix
    good = GOOD_SOUND if mutant.is_picture else GOOD_PICTURE
    content = (stock.folder / good).read_bytes()
    if mutant.is_picture:  # bytes that differ from case to case, or the second counts as a duplicate
        content += b"note" + (4).to_bytes(4, "little") + int(place.name[1:]).to_bytes(4, "little")
    else:
        content += (12).to_bytes(4, "big") + b"free" + int(place.name[1:]).to_bytes(4, "big")
    (place / f"take{suffix}").write_bytes(mutant.data)
    (place / f"take{Path(good).suffix}").write_bytes(content)
