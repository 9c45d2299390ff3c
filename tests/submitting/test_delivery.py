"""How an order gets into an inbox: whole, once, and without a trace when it is stopped."""

import json
import os
import signal
import stat

import pytest

from heygemd.errors import InputError, ResourceError
from heygemd.intake.manifests.reading import read_manifest
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName
from heygemd.submitting import staging
from heygemd.submitting.delivery import Rules, Way
from heygemd.submitting.inputs import look_at_all
from heygemd.submitting.order import of_manifest, of_pairs
from heygemd.submitting.writing import needs_commit, target_of
from tests.submitting.rig import LIMITS, MANIFEST, MP4, PLAIN, RULES, listed, rows_of, send

# Into the inbox -----------------------------------------------------------------------------------------------------


def test_copies_and_a_manifest_that_speaks_for_them(put, root):
    anna, one, two = put("anna.mp4", "one.wav", "two.wav")
    options = OptionChoice(engine=EngineName.PASSTHROUGH, crf=20)
    order = of_pairs([anna, one, anna, two], name="day", options=options, priority=3)
    delivered = send(order, root, "show/a")
    folder = root.inbox / "show/a"
    assert {path.name for path in folder.iterdir()} == {"anna.mp4", "one.wav", "two.wav", delivered.manifest.name}
    assert (folder / "one.wav").read_bytes() == one.read_bytes()
    assert delivered.manifest.name.startswith("day-")
    first, second = rows_of(delivered)
    assert (first["video"], first["audio"], first["output"]) == ("anna.mp4", "one.wav", "one.mp4")
    assert (first["priority"], first["options"]) == (3, {"engine": "passthrough", "crf": 20})
    assert set(first["sha256"]) == {"video", "audio"}
    assert second["video"] == "anna.mp4", "copied once"
    manifest = read_manifest(delivered.manifest.read_bytes(), delivered.manifest.name, LIMITS)
    assert all(row.error is None for row in manifest.rows)
    assert anna.exists()
    assert [member.way for member in delivered.members] == [Way.COPY] * 3


def test_names_that_are_taken_get_a_number_whatever_their_case(put, root):
    (root.inbox / "A.MP4").write_bytes(MP4)
    paths = put("a.mp4", "a.wav", "x/a.wav")
    delivered = send(of_pairs([paths[0], paths[1], paths[0], paths[2]], options=PLAIN), root)
    assert {row["video"] for row in rows_of(delivered)} == {"a (1).mp4"}
    assert [row["audio"] for row in rows_of(delivered)] == ["a.wav", "a (1).wav"]
    assert (root.inbox / "A.MP4").exists()


def test_a_default_of_somebody_else_does_not_become_one_here(put, root):
    delivered = send(of_pairs(put("_default.mp4", "a.wav"), options=PLAIN), root)
    assert rows_of(delivered)[0]["video"] == "default.mp4"


def test_files_of_the_inbox_are_named_where_they_lie(root, put):
    (root.inbox / "show" / "a").mkdir(parents=True)
    (root.inbox / "show" / "a" / "here.mp4").write_bytes(MP4)
    (sound,) = put("far.wav")
    delivered = send(of_pairs([root.inbox / "show/a/here.mp4", sound], options=PLAIN), root)
    (row,) = rows_of(delivered)
    assert delivered.manifest.parent == root.inbox / "show" / "a"
    assert (row["video"], row["audio"]) == ("here.mp4", "far.wav")
    assert "video" not in row["sha256"]
    assert {member.way for member in delivered.members} == {Way.THERE, Way.COPY}
    delivered = send(of_pairs([root.inbox / "show/a/here.mp4", sound], options=PLAIN), root, "show")
    assert rows_of(delivered)[0]["video"] == "a/here.mp4"
    with pytest.raises(InputError, match="not below"):
        send(of_pairs([root.inbox / "show/a/here.mp4", sound], options=PLAIN), root, "other")
    assert not (root.inbox / "other").exists()


def test_links_and_moves_copy_nothing_on_one_file_system(put, root):
    pair = put("a.mp4", "a.wav")
    inode = pair[0].stat().st_ino
    delivered = send(of_pairs(pair, options=PLAIN), root, way=Way.LINK)
    assert (root.inbox / "a.mp4").stat().st_ino == inode
    assert pair[0].exists()
    assert {member.way for member in delivered.members} == {Way.LINK}
    assert "sha256" not in rows_of(delivered)[0]
    assert rows_of(delivered)[0]["size"]["video"] == len(MP4)
    delivered = send(of_pairs(pair, options=PLAIN), root, "b", way=Way.MOVE)
    assert (root.inbox / "b" / "a.mp4").stat().st_ino == inode
    assert not pair[0].exists()
    assert not pair[1].exists()
    assert stat.S_IMODE((root.inbox / "b" / "a.mp4").stat().st_mode) == 0o644


def test_where_links_cannot_be_there_are_copies(put, root, monkeypatch):
    pair = put("a.mp4", "a.wav")

    def refuse(*args, **kwargs):
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert {one.way for one in send(of_pairs(pair, options=PLAIN), root, way=Way.LINK).members} == {Way.COPY}


def test_a_file_that_others_may_not_read_is_copied_instead_of_linked(put, root):
    pair = put("a.mp4", "a.wav")
    pair[0].chmod(0o600)
    os.chown(root.inbox, 12345, -1) if os.geteuid() == 0 else pytest.skip("needs another owner")
    ways = {one.name: one.way for one in send(of_pairs(pair, options=PLAIN), root, way=Way.LINK).members}
    assert ways == {"a.mp4": Way.COPY, "a.wav": Way.LINK}
    assert (root.inbox / "a.mp4").stat().st_uid == 12345, "root gives it to the daemon"


def test_a_move_across_file_systems_deletes_what_was_copied(put, root, monkeypatch):
    pair = put("a.mp4", "a.wav")
    monkeypatch.setattr("heygemd.submitting.delivery._way_of", lambda *args: Way.COPY)
    assert send(of_pairs(pair, options=PLAIN), root, way=Way.MOVE).left == ()
    assert not pair[0].exists()
    assert (root.inbox / "a.mp4").exists()
    pair = put("b.mp4", "b.wav")
    monkeypatch.setattr("heygemd.submitting.delivery._delete", lambda path: path.suffix == ".wav")
    assert send(of_pairs(pair, options=PLAIN), root, way=Way.MOVE).left == (pair[0],)


def test_a_manifest_keeps_its_name_and_is_not_put_beside_its_twin(put, root, tmp_path):
    put("anna.mp4", "ep01.wav", "lines/a.wav")
    file = tmp_path / "in" / "day.heygem.json"
    file.write_text(json.dumps(MANIFEST))
    delivered = send(of_manifest(file, LIMITS), root)
    assert delivered.manifest == root.inbox / "day.heygem.json"
    assert [row["id"] for row in rows_of(delivered)] == ["ep01", "all-lines-a.wav"]
    before = listed(root.path)
    with pytest.raises(InputError) as caught:
        send(of_manifest(file, LIMITS), root)
    assert caught.value.code == "E106"
    assert listed(root.path) == before


def test_a_declared_sum_is_checked_while_copying(put, root, tmp_path):
    put("a.mp4", "a.wav")
    file = tmp_path / "in" / "x.heygem.json"
    row = {"video": "a.mp4", "audio": "a.wav", "sha256": {"audio": "0" * 64}}
    file.write_text(json.dumps({"heygem": 1, "jobs": [row]}))
    before = listed(root.path)
    with pytest.raises(InputError) as caught:
        send(of_manifest(file, LIMITS), root, "new/folder")
    assert caught.value.code == "E112"
    assert listed(root.path) == before


def test_without_room_nothing_is_written(put, root):
    before = listed(root.path)
    with pytest.raises(ResourceError) as caught:
        send(
            of_pairs(put("a.mp4", "a.wav"), options=PLAIN), root, "x", rules=Rules(limits=LIMITS, reserve_bytes=1 << 60)
        )
    assert caught.value.code == "E202"
    assert listed(root.path) == before


@pytest.mark.parametrize("folder", ["../x", "a/../b", "/abs/../x", ".hidden", "x.job", "a\\b", "a//b"])
def test_a_folder_that_is_none_of_an_inbox_is_refused(put, root, folder):
    with pytest.raises(InputError) as caught:
        send(of_pairs(put("a.mp4", "a.wav"), options=PLAIN), root, folder)
    assert caught.value.code == "E126"


def test_a_link_in_the_way_is_not_followed(put, root, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (root.inbox / "x").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError, match="link"):
        send(of_pairs(put("a.mp4", "a.wav"), options=PLAIN), root, "x/y")
    assert list((tmp_path / "elsewhere").iterdir()) == []


# Interruptions ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "no space"), InputError("E111", "x")], ids=str)
@pytest.mark.parametrize("way", [Way.COPY, Way.MOVE])
def test_whatever_stops_the_copying_leaves_nothing_behind(put, root, monkeypatch, error, way):
    pair = put("a.mp4", "a.wav")
    before = listed(root.path)
    monkeypatch.setattr("heygemd.submitting.delivery._way_of", lambda *args: Way.COPY)

    def stop(count):
        raise error

    with pytest.raises((KeyboardInterrupt, ResourceError, InputError)):
        send(of_pairs(pair, options=PLAIN), root, "new/deep", way=way, on_copy=stop)
    assert listed(root.path) == before
    assert all(path.exists() for path in pair)


@pytest.mark.parametrize("way", [Way.COPY, Way.LINK, Way.MOVE])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_a_rename_that_fails_takes_all_before_it_back(put, root, monkeypatch, way, step):
    pair = put("a.mp4", "a.wav")
    before = listed(root.path)
    real, count = staging.rename_no_replace, 0

    def rename(*args, **kwargs):
        nonlocal count
        count += 1
        if count == step:
            raise FileExistsError(17, "somebody was quicker", "a.mp4")
        real(*args, **kwargs)

    monkeypatch.setattr(staging, "rename_no_replace", rename)
    with pytest.raises(ResourceError):
        send(of_pairs(pair, options=PLAIN), root, way=way, rules=RULES)
    assert listed(root.path) == before
    assert all(path.exists() for path in pair)


def test_the_manifest_is_there_before_any_file_and_ctrl_c_comes_too_late(put, root, monkeypatch):
    pair = put("a.mp4", "a.wav")
    real, seen, heard = staging.rename_no_replace, [], []

    def rename(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGINT)
        seen.append(sorted(path.suffix for path in root.inbox.iterdir() if not path.name.startswith(".")))
        real(*args, **kwargs)

    def hear(number, frame):
        heard.append(number)

    monkeypatch.setattr(staging, "rename_no_replace", rename)
    before = signal.signal(signal.SIGINT, hear)
    try:
        send(of_pairs(pair, options=PLAIN), root)
        assert signal.getsignal(signal.SIGINT) is hear
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [[], [".json"], [".json", ".mp4"]]
    assert heard == []
    assert len(list(root.inbox.iterdir())) == 3


def test_a_file_that_grows_while_it_is_copied_is_refused(put, root):
    pair = put("a.mp4", "a.wav")
    before = listed(root.path)

    def grow(count):
        with pair[0].open("ab") as file:
            file.write(b"more" * 3)

    with pytest.raises(InputError) as caught:
        send(of_pairs(pair, options=PLAIN), root, on_copy=grow)
    assert caught.value.code == "E111"
    assert listed(root.path) == before


def test_a_folder_that_wants_commits_gets_a_marker_for_the_manifest(put, root):
    (root.inbox / "x" / "y").mkdir(parents=True)
    (root.inbox / "x" / ".heygemd.toml").write_text("require_commit = true\n")
    (root.inbox / "x" / "y" / ".heygemd.toml").write_text("not = [toml")
    order = of_pairs(put("a.mp4", "a.wav"), options=PLAIN)
    looks = list(look_at_all(order).values())
    assert needs_commit(target_of(root, "x/y", looks), by_default=False)
    assert not needs_commit(target_of(root, "", looks), by_default=False)
    (root.inbox / "x" / "y" / ".heygemd.toml").write_text("require_commit = false\n")
    assert not needs_commit(target_of(root, "x/y", looks), by_default=True)
    delivered = send(order, root, rules=Rules(limits=LIMITS, reserve_bytes=0, needs_commit=True))
    assert delivered.manifest.with_name(delivered.manifest.name + ".ready").exists()
