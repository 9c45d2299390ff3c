"""What people do with folders, drawn at random, against a model of the protocol."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.protocol.machine import FolderMachine

BOUNDED = settings(
    max_examples=30, stateful_step_count=20, deadline=None, derandomize=True, database=None, phases=[Phase.generate],
    suppress_health_check=list(HealthCheck),
)  # fmt: skip
"""`scripts/fuzz_folders.py --shrink` finds the shortest way to what this finds."""


@pytest.mark.slow
def test_whatever_people_do_with_the_folders_the_protocol_holds():
    run_state_machine_as_test(FolderMachine, settings=BOUNDED)
