"""The judge must see every known bug, and nothing where there is none."""

import pytest

from tests.protocol.mutants import MUTANTS
from tests.protocol.play import Play

SCENES = sorted({mutant.scene for mutant in MUTANTS}, key=lambda scene: scene.__name__)


@pytest.fixture
def play(tmp_path):
    play = Play(tmp_path / "world")
    yield play
    play.end()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_scene_without_a_bug_is_as_the_protocol_says(play, scene):
    scene(play)
    assert play.judge.checked["audits"] > 0


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_judge_sees_a_daemon_that(play, mutant):
    with mutant.planted(), pytest.raises(AssertionError):
        mutant.scene(play)
