"""What a daemon refuses to start on, and what it can wait for."""

import pytest

from heygemd.daemon import opening
from heygemd.daemon.opening import open_daemon
from heygemd.errors import SetupError
from heygemd.intake.roots import init_root
from heygemd.settings import RenderSettings, Settings

pytestmark = pytest.mark.ffmpeg


@pytest.fixture
def settings(tmp_path, monkeypatch):
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return Settings(
        roots=(tmp_path / "root",), state_dir=tmp_path / "state", models_dir=tmp_path / "models",
        render=RenderSettings(engine="passthrough", device="cpu"),
    )  # fmt: skip


def test_a_state_directory_on_a_network_mount_is_refused(settings, monkeypatch):
    init_root(settings.roots[0])
    monkeypatch.setattr(opening, "is_local", lambda place: False)
    with pytest.raises(SetupError, match="must lie on a local disk"), open_daemon(settings):
        pass


def test_a_state_directory_inside_a_root_is_refused(settings):
    root = init_root(settings.roots[0])
    inside = settings.model_copy(update={"state_dir": root.path / "state"})
    with pytest.raises(SetupError, match="must not lie inside the root"), open_daemon(inside):
        pass


def test_a_root_that_is_not_mounted_yet_is_waited_for_when_the_state_has_a_place_of_its_own(settings):
    with open_daemon(settings) as daemon:
        assert daemon.desks == []
        root = init_root(settings.roots[0])
        daemon.latecomers._due_s = 0.0
        for _ in range(200):
            daemon.tick()
            if daemon.desks:
                break
            daemon._sleep(0.1)
        assert [desk.root for desk in daemon.desks] == [root]
        with pytest.raises(SetupError, match="in use"), open_daemon(settings):
            pass
        daemon.stop()


def test_without_such_a_place_a_root_must_be_there(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    with (
        pytest.raises(SetupError, match="no heygemd root"),
        open_daemon(settings.model_copy(update={"state_dir": None})),
    ):
        pass
