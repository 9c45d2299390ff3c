import json
import shutil

import pytest

from heygemd.errors import ResourceError, SetupError
from heygemd.intake.roots import check_online, init_root, open_present, open_root, open_roots


def test_init_makes_every_folder_and_is_repeatable(tmp_path):
    root = init_root(tmp_path / "deep" / "root")
    names = {path.name for path in root.path.iterdir()}
    assert names == {"inbox", "outbox", "processing", "failed", "done", "status", ".heygemd"}
    assert root.claims.is_dir()
    assert json.loads(root.sentinel.read_text()) == {"uuid": root.uuid, "protocol": 1}
    (root.inbox / "a.mp4").touch()
    assert init_root(root.path) == root == open_root(root.path)
    assert check_online(root) == root.path.stat().st_dev


def test_init_refuses_a_folder_of_other_things(tmp_path):
    (tmp_path / "thesis.doc").touch()
    with pytest.raises(SetupError, match=r"thesis\.doc"):
        init_root(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.doc"]


def test_init_takes_a_fresh_disk_and_a_root_whose_sentinel_was_lost(tmp_path):
    (tmp_path / "lost+found").mkdir()
    (tmp_path / ".DS_Store").touch()
    (tmp_path / "inbox").mkdir()
    (tmp_path / "inbox" / "a.mp4").touch()
    assert (init_root(tmp_path).inbox / "a.mp4").exists()


def test_init_refuses_a_file_and_a_link_in_place_of_a_folder(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SetupError):
        init_root(tmp_path / "file")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "inbox").symlink_to(tmp_path)
    with pytest.raises(SetupError, match="inbox"):
        init_root(tmp_path / "r")


def test_open_refuses_a_folder_without_sentinel_and_makes_nothing(tmp_path):
    with pytest.raises(SetupError, match="init-root") as caught:
        open_root(tmp_path)
    assert caught.value.code == "E401"
    with pytest.raises(SetupError, match="mount it"):
        open_root(tmp_path / "none")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", "null", '{"uuid": "x", "protocol": 1}', '{"uuid": 5, "protocol": 1}', "[" * 4096]
)
def test_damaged_sentinel_is_refused_and_never_replaced(tmp_path, text):
    root = init_root(tmp_path / "r")
    root.sentinel.write_text(text)
    for action in (init_root, open_root):
        with pytest.raises(SetupError, match="damaged"):
            action(root.path)
    with pytest.raises(ResourceError) as caught:
        check_online(root)
    assert caught.value.code == "E201"
    assert root.sentinel.read_text() == text


def test_open_makes_lost_folders_anew(tmp_path):
    root = init_root(tmp_path / "r")
    shutil.rmtree(root.failed)
    open_root(root.path)
    assert root.failed.is_dir()


def test_roots_inside_one_another_or_twice_are_refused(tmp_path):
    one = init_root(tmp_path / "one")
    two = init_root(tmp_path / "two")
    assert open_roots([one.path, two.path]) == (one, two)
    inner = init_root(one.inbox / "inner")
    with pytest.raises(SetupError, match="inside"):
        open_roots([inner.path, one.path])
    with pytest.raises(SetupError, match="same"):
        open_roots([one.path, one.path])
    shutil.copytree(two.path, tmp_path / "copy")
    with pytest.raises(SetupError, match="uuid"):
        open_roots([two.path, tmp_path / "copy"])


def test_a_share_that_is_gone_or_another_is_offline(tmp_path):
    root = init_root(tmp_path / "r")
    moved = root.path.rename(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match=r"no sentinel|cannot be reached"):
        check_online(root)
    root.path.mkdir()
    with pytest.raises(ResourceError, match="not mounted"):
        check_online(root)
    root.path.rmdir()
    init_root(root.path)
    with pytest.raises(ResourceError, match="another root"):
        check_online(root)
    shutil.rmtree(root.path)
    moved.rename(root.path)
    check_online(root)


def test_an_inbox_on_another_file_system_is_offline(tmp_path):
    root = init_root(tmp_path / "r")
    root.inbox.rmdir()
    root.inbox.symlink_to("/dev/shm")
    with pytest.raises(ResourceError, match="not a folder"):
        check_online(root)


@pytest.mark.parametrize("name", ["outbox", "done", "failed", "processing", "status"])
def test_a_folder_of_ours_that_leads_into_the_inbox_is_refused(tmp_path, name):
    root = init_root(tmp_path / "root")
    (root.inbox / "deep").mkdir()
    folder = root.path / name
    folder.rmdir()
    folder.symlink_to(root.inbox / "deep")
    with pytest.raises(SetupError, match="leads into the inbox"):
        open_root(root.path)


def test_roots_that_are_not_there_may_come_later(tmp_path):
    here = init_root(tmp_path / "here")
    (tmp_path / "mountpoint").mkdir()
    present, absent = open_present([here.path, tmp_path / "mountpoint", tmp_path / "gone"])
    assert present == (here,)
    assert absent == (tmp_path / "mountpoint", tmp_path / "gone")
    assert list((tmp_path / "mountpoint").iterdir()) == []


def test_roots_that_are_there_must_be_good(tmp_path):
    outer = init_root(tmp_path / "outer")
    init_root(outer.inbox / "inner")
    with pytest.raises(SetupError, match="inside one another"):
        open_present([outer.path, outer.inbox / "inner"])
