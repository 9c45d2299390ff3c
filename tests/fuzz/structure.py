"""Mutated media before the check of their structure, which no child contains: it runs within the desk."""

import time
import traceback
from pathlib import Path

from heygemd.intake.structure.check import judge
from heygemd.intake.structure.window import Window
from tests.fuzz.media import Mutant
from tests.fuzz.outcome import Ending, Outcome, Tally

MAX_CPU_S = 2.0
"""Twenty times what the budget of a window takes (0.1 s on a local disk)."""


def execute(mutant: Mutant, tally: Tally) -> None:
    """Judge the bytes as the inbox judges a file."""
    data = mutant.data
    began_s = time.process_time()
    try:
        verdict = judge(Window(lambda offset, count: data[offset : offset + count], len(data)))
        ending, reason = Ending.USED, type(verdict).__name__
    except Exception as error:  # noqa: BLE001  # whatever it is: that is what is looked for
        trace = traceback.extract_tb(error.__traceback__)[-1]
        ending, reason = Ending.DEATH, f"{type(error).__name__}: {error} ({Path(trace.filename).name}:{trace.lineno})"
    took_s = time.process_time() - began_s
    if took_s > MAX_CPU_S and ending is Ending.USED:
        ending, reason = Ending.SLOW, f"{took_s:.1f} s of the desk"
    tally.note(mutant.label, data, Outcome(ending=ending, reason=reason, code="", wall_s=took_s))
