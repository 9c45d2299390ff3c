"""Weights from strangers: read within limits of time and memory, or refused with E405, and never executed."""

import pickle

import pytest
import torch

from tests.corpus.case import disagreement
from tests.corpus.checkpoints import FILE, TRAP, cases
from tests.corpus.conversions import convert_all

CASES = {case.name: case for case in cases()}
TRAPS = [f"weights-trap-{name}-{form}" for name in ("mkdir", "shell", "code") for form in ("legacy", "zip")]
BARE_TRAPS = ["weights-trap-bare", "weights-trap-protocol-0"]


@pytest.mark.slow
def test_every_file_of_weights_is_read_or_refused_as_it_should(tmp_path):
    wanted = [case for case in CASES.values() if not case.is_slow]
    seen = convert_all(tmp_path, wanted)
    wrong = {case.name: text for case in wanted if (text := disagreement(case, seen[case.name]))}
    assert wrong == {}


@pytest.mark.parametrize("name", TRAPS)
def test_the_traps_go_off_for_a_careless_reader(tmp_path, name):
    CASES[name].drop(tmp_path)
    torch.load(tmp_path / FILE, weights_only=False)
    assert (tmp_path / TRAP).exists()


@pytest.mark.parametrize("name", BARE_TRAPS)
def test_bare_traps_go_off_for_a_careless_reader(tmp_path, name):
    CASES[name].drop(tmp_path)
    pickle.loads((tmp_path / FILE).read_bytes())
    assert (tmp_path / TRAP).exists()
