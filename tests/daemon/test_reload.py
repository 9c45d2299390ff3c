"""What a reload changes, what it holds back, and what it says."""

from pathlib import Path

import pytest

from heygemd.daemon.opening import _checked
from heygemd.daemon.reload import Reloader, differences
from heygemd.errors import SetupError
from heygemd.limits import Limits
from heygemd.settings import IntakeSettings, RenderSettings, Settings

OLD = Settings(roots=(Path("/one"), Path("/two")), state_dir=Path("/state"))


class StandIn:
    """Has settings, and applies others."""

    def __init__(self, settings):
        self.settings = settings

    def apply(self, settings):
        self.settings = settings


def reloaded(new):
    daemon, reloader = StandIn(OLD), Reloader(lambda: new)
    reloader.reload(daemon)
    return daemon.settings, reloader


def test_differences_are_named_as_in_the_file():
    new = OLD.model_copy(update={"log_level": "debug", "intake": IntakeSettings(settle_s=9), "limits": Limits()})
    assert list(differences(OLD, new)) == ["log_level", "intake.settle_s"]
    assert list(differences(OLD, OLD)) == []


def test_what_can_be_changed_is():
    settings, reloader = reloaded(OLD.model_copy(update={"render": RenderSettings(crf=30), "log_level": "error"}))
    assert (settings.render.crf, settings.log_level) == (30, "error")
    assert (reloader.needs_restart, reloader.error, reloader.reloaded_at is None) == ((), "", False)
    assert reloader.sentence == "configuration reloaded"


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"state_dir": Path("/elsewhere")}, "state_dir"),
        ({"models_dir": Path("/elsewhere")}, "models_dir"),
        ({"log_file": Path("/elsewhere")}, "log_file"),
        ({"render": RenderSettings(device="cpu")}, "render.device"),
        ({"render": RenderSettings(require_gpu=True)}, "render.require_gpu"),
    ],
)
def test_what_only_a_start_can_change_is_held_back_and_said(change, name):
    settings, reloader = reloaded(OLD.model_copy(update=change))
    assert settings == OLD
    assert reloader.needs_restart == (name,)
    assert name in reloader.sentence


def test_what_is_changed_back_needs_no_restart_any_more():
    daemon = StandIn(OLD)
    answers = [OLD.model_copy(update={"state_dir": Path("/elsewhere")}), OLD]
    reloader = Reloader(lambda: answers.pop(0))
    reloader.reload(daemon)
    assert reloader.needs_restart == ("state_dir",)
    reloader.reload(daemon)
    assert reloader.needs_restart == ()


def test_a_new_root_is_served_and_a_missing_one_is_until_the_restart():
    settings, reloader = reloaded(OLD.model_copy(update={"roots": (Path("/two"), Path("/three"))}))
    assert settings.roots == (Path("/one"), Path("/two"), Path("/three"))
    assert reloader.needs_restart == ("roots (without /one)",)


def test_a_wrong_configuration_changes_nothing():
    def refuse():
        raise SetupError("E401", "crf is no number")

    daemon, reloader = StandIn(OLD), Reloader(refuse)
    reloader.reload(daemon)
    assert daemon.settings == OLD
    assert reloader.error == "crf is no number"
    assert "crf is no number" in reloader.sentence
    assert reloader.reloaded_at is None


def test_a_configuration_without_roots_is_refused():
    settings, reloader = reloaded(Settings())
    assert (settings, "no root" in reloader.error) == (OLD, True)


def test_a_right_one_ends_the_complaint():
    answers = [Settings(), OLD]
    daemon, reloader = StandIn(OLD), Reloader(lambda: answers.pop(0))
    reloader.reload(daemon)
    reloader.reload(daemon)
    assert reloader.error == ""


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (PermissionError(13, "Permission denied", "/etc/heygemd/heygemd.toml"), "heygemd.toml: Permission denied"),
        (ValueError("no JSON in HEYGEMD_RENDER"), "no JSON"),
        (RecursionError("too deep"), "too deep"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_wrong_configuration_and_no_end(error, said):
    def refuse():
        raise error

    daemon, reloader = StandIn(OLD), Reloader(refuse)
    reloader.reload(daemon)
    assert daemon.settings == OLD
    assert said in reloader.error


def test_an_engine_without_weights_is_refused(tmp_path):
    wanted = OLD.model_copy(update={"render": RenderSettings(engine="wav2lip")})
    daemon, reloader = StandIn(OLD), Reloader(_checked(lambda: wanted, tmp_path))
    reloader.reload(daemon)
    assert (daemon.settings, "no usable Wav2Lip weights" in reloader.error) == (OLD, True)
    assert _checked(None, tmp_path) is None
