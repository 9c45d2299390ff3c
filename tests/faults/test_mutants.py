"""Bugs that were put in on purpose are found: the power cuts can fail."""

import pytest

from tests.faults.hunt import HAUNTS, hunt_inside
from tests.faults.mutants import MUTANTS
from tests.faults.powercut import can_cut

QUICK = ("state-before-rename", "film-not-synced")
"""One that any kill shows, and one that only a power cut does; `make faults` hunts all of them."""


def test_there_are_enough_mutants_and_each_has_its_haunt():
    assert len(MUTANTS) >= 8
    assert HAUNTS.keys() == MUTANTS.keys()


@pytest.mark.mounts
@pytest.mark.ffmpeg
@pytest.mark.slow
@pytest.mark.skipif(not can_cut(), reason="needs mounts: root, and seccomp on x86-64")
@pytest.mark.parametrize("mutant", QUICK)
def test_mutant_is_caught(mutant, template):
    catch = hunt_inside(mutant, template)
    assert catch.wrong
    assert catch.cuts, "it shows without any cut: that is no test of them"
