"""Mutated weights are refused with a code or read; nothing that they name is called."""

import pickle
from collections import Counter
from contextlib import suppress
from itertools import islice
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import checkpoints
from tests.fuzz.checkpoints import Checkpoint
from tests.fuzz.outcome import Ending, Tally
from tests.fuzz.packages import call, take_pickle_apart
from tests.fuzz.parts import join

SEED = "suite"
EXECUTIONS = 8


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    checkpoints.make_seeds(folder)
    return folder


@pytest.mark.slow
def test_mutated_weights_are_refused_or_read_and_never_run(weights: Path, tmp_path: Path) -> None:
    tally, work, context = Tally(tmp_path / "kept"), tmp_path / "work", checkpoints.nursery()
    source = checkpoints.checkpoints(weights, SEED, str(work / checkpoints.CANARY))
    for checkpoint in islice(source, EXECUTIONS):
        checkpoints.execute(context, work, checkpoint, tally)
    good = (weights / "zip.pth").read_bytes()
    checkpoints.execute(context, work, Checkpoint(label="good-zip.pth", data=good, size_bytes=len(good)), tally)
    assert tally.harm == []
    assert tally.executions == EXECUTIONS + 1
    assert tally.endings[Ending.USED] >= 1, "not even the good one was read"
    assert tally.endings[Ending.REFUSED] >= EXECUTIONS // 2


def test_pickles_are_taken_apart_and_put_together_as_they_were(weights: Path) -> None:
    data = (weights / "legacy.pth").read_bytes()
    parts = take_pickle_apart(data)
    assert join(parts) == data
    assert Counter(part.name for part in parts)[b"STOP"] >= 3


def test_the_call_that_is_planted_goes_off_where_pickles_are_trusted(tmp_path: Path) -> None:
    """Without that no silence would mean anything."""
    made = 0
    for number in range(40):
        target = tmp_path / f"called-{number}"
        planted = pickle.dumps([1, 2])
        parts = take_pickle_apart(planted)
        parts.insert(len(parts) - 1, call(str(target), Random(number)))
        with suppress(Exception):  # most names want other arguments
            pickle.loads(join(parts))
        made += target.exists()
    assert made >= 5


def test_sparse_weights_are_laid_as_they_are_meant(weights: Path, tmp_path: Path) -> None:
    (checkpoint,) = islice((one for one in checkpoints.checkpoints(weights, "x", "y") if "plain" in one.label), 1)
    checkpoint.lay(tmp_path / "file")
    assert (tmp_path / "file").stat().st_size == checkpoint.size_bytes
    assert len(checkpoint.data) < 1 << 20
