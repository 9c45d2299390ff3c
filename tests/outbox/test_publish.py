"""A film with its report and sheet in the outbox: whole or not at all, and never over somebody else's file."""

import json
import os
import pickle
from dataclasses import replace

import pytest

from heygemd.errors import FaultError, ResourceError
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.publish import choose_name, deliver
from tests.outbox.publishing import OTHER_ID, chosen


def test_film_report_and_sheet_lie_in_the_mirrored_folder(make_delivery, tree) -> None:
    delivery = make_delivery(folder="lessons/第一课")
    done = deliver(delivery)
    assert (done.already, done.sheet_placed) == (False, True)
    assert done.film == delivery.outbox / "lessons/第一课/anna.mp4"
    found = tree(delivery.outbox / "lessons/第一课")
    assert sorted(found) == ["anna.jpg", "anna.mp4", "anna.mp4.json"]
    assert found["anna.mp4"] == delivery.film.read_bytes()
    assert json.loads(found["anna.mp4.json"])["job"] == delivery.job_id
    assert delivery.film.exists()


def test_second_run_changes_nothing(make_delivery, tree) -> None:
    delivery = make_delivery()
    deliver(delivery)
    before = tree(delivery.outbox)
    inode = (delivery.outbox / "lessons/anna.mp4").stat().st_ino
    done = deliver(delivery)
    assert (done.already, done.sha256) == (True, delivery.sha256)
    assert tree(delivery.outbox) == before
    assert (delivery.outbox / "lessons/anna.mp4").stat().st_ino == inode


def test_film_rendered_anew_after_it_was_published_is_not_published_twice(make_delivery, tree) -> None:
    deliver(make_delivery())
    again = make_delivery(b"other bytes of the same job")
    done = deliver(again)
    assert done.already
    assert done.sha256 != again.sha256
    assert again.film.read_bytes() not in tree(again.outbox).values()


def test_delivery_and_its_result_can_cross_to_a_child(make_delivery) -> None:
    delivery = make_delivery()
    assert pickle.loads(pickle.dumps(delivery)) == delivery
    assert pickle.loads(pickle.dumps(deliver(delivery))).sha256 == delivery.sha256


def test_film_is_on_the_disk_before_it_is_seen_and_its_name_after(make_delivery) -> None:
    disk = FaultyDisk(lambda step, call: None)
    deliver(make_delivery(), disk)
    calls = [call for call in disk.calls if call not in ("write", "copy")]
    make = ["make_folder", "sync"]
    written = ["create", "sync"]
    named = ["rename_noreplace"]
    assert calls == [*make, *written, *written, *named, *written, *named, "sync", *named, "sync"]


def test_report_goes_first_then_the_sheet_and_the_film_last(make_delivery) -> None:
    class WatchedDisk(FaultyDisk):
        def rename_noreplace(self, name: str, from_fd: int, new: str, to_fd: int) -> None:
            super().rename_noreplace(name, from_fd, new, to_fd)
            named.append(new)

    named: list[str] = []
    deliver(make_delivery(), WatchedDisk(lambda step, call: None))
    assert named == ["anna.mp4.json", "anna.jpg", "anna.mp4"]


@pytest.mark.parametrize(
    ("folder", "name", "place"),
    [
        ("", "anna", "anna.mp4"),
        ("week 1", "ep01", "week 1/ep01.mp4"),
        ("trip.2", "bob", "trip.2/bob.mp4"),
        ("lines", "ep01", "lines/ep01.mp4"),
        ("week 1/lines", "ep01-bob", "week 1/lines/ep01-bob.mp4"),
        ("CON/a:b", "x?", "%43ON/a%3Ab/x%3F.mp4"),
    ],
)
def test_film_of_a_pair_a_job_folder_or_a_row_lies_where_the_table_says(
    make_delivery, samples, root, *, folder, name, place
) -> None:
    chosen_name = choose_name(root.outbox, folder, name, "version", samples.job_id)
    deliver(make_delivery(folder=folder, file_name=chosen_name))
    for companion in (place, place + ".json", place.removesuffix(".mp4") + ".jpg"):
        assert (root.outbox / companion).is_file()


def test_no_folder_is_made_on_another_share_that_lies_in_the_place_of_the_right_one(samples, root) -> None:
    exchanged = replace(root, uuid="01900000-0000-7000-8000-00000000ffff")
    with pytest.raises(ResourceError) as caught:
        choose_name(root.outbox, "new folder", "anna", "version", samples.job_id, exchanged)
    assert caught.value.code == "E201"
    assert not (root.outbox / "new folder").exists()
    assert choose_name(root.outbox, "new folder", "anna", "version", samples.job_id, root) == "anna.mp4"


def test_published_film_can_be_given_again(make_delivery, root, tree) -> None:
    deliver(make_delivery())
    film = root.outbox / "lessons/anna.mp4"
    again = replace(
        make_delivery(job_id=OTHER_ID, folder="b"), film=film, sheet=film.with_suffix(".jpg"), is_again=True
    )
    assert deliver(again).sheet_placed
    found = tree(root.outbox)
    assert found["b/anna.mp4"] == found["lessons/anna.mp4"]
    assert found["b/anna.jpg"] == found["lessons/anna.jpg"]
    assert json.loads(found["b/anna.mp4.json"])["sha256"] == again.sha256
    assert deliver(again).already


@pytest.mark.parametrize("what", ["gone", "changed", "link", "folder", "fifo"])
def test_published_film_that_is_not_there_any_more_is_lost_not_a_failure(
    make_delivery, root, tree, tmp_path, what
) -> None:
    film = root.outbox / "anna.mp4"
    if what == "changed":
        film.write_bytes(b"edited")
    elif what == "link":
        (tmp_path / "elsewhere").write_bytes(make_delivery().film.read_bytes())
        film.symlink_to(tmp_path / "elsewhere")
    elif what == "folder":
        film.mkdir()
    elif what == "fifo":
        os.mkfifo(film)
    before = tree(root.outbox)
    done = deliver(replace(make_delivery(), film=film, is_again=True))
    assert (done.is_lost, done.clash, done.sha256) == (True, None, None)
    assert tree(root.outbox) == before


def test_contact_sheet_on_the_share_that_is_no_picture_file_is_left_out(make_delivery, root, tmp_path) -> None:
    (tmp_path / "secret").write_bytes(b"secret")
    for number, odd in enumerate(("link", "fifo", "folder")):
        sheet = root.outbox / f"{odd}.jpg"
        if odd == "link":
            sheet.symlink_to(tmp_path / "secret")
        elif odd == "fifo":
            os.mkfifo(sheet)
        else:
            sheet.mkdir()
        assert not deliver(make_delivery(sheet=sheet, folder=str(number))).sheet_placed


def test_foreign_film_is_a_clash_and_nothing_of_ours_stays(make_delivery, tree) -> None:
    delivery = make_delivery()
    (delivery.outbox / "lessons").mkdir()
    (delivery.outbox / "lessons/anna.mp4").write_bytes(b"foreign")
    assert deliver(delivery).clash == "anna.mp4"
    assert tree(delivery.outbox) == {"lessons/anna.mp4": b"foreign"}


def test_foreign_film_of_the_very_same_bytes_is_a_clash_too(make_delivery) -> None:
    delivery = make_delivery()
    (delivery.outbox / "lessons").mkdir()
    (delivery.outbox / "lessons/anna.mp4").write_bytes(delivery.film.read_bytes())
    assert deliver(delivery).clash == "anna.mp4"


@pytest.mark.parametrize(
    "text", ["[]", '{"job": "x"}', "[" * 5000, "\x00", '{"heygemd_report": 1}', '{"heygemd_report":1,"job":7}']
)
def test_strange_report_beside_the_name_is_foreign(make_delivery, tree, text) -> None:
    delivery = make_delivery()
    (delivery.outbox / "lessons").mkdir()
    (delivery.outbox / "lessons/anna.mp4.json").write_text(text)
    assert deliver(delivery).clash == "anna.mp4.json"
    assert list(tree(delivery.outbox)) == ["lessons/anna.mp4.json"]


def test_foreign_picture_is_left_alone_and_the_report_claims_no_sheet(make_delivery) -> None:
    delivery = make_delivery()
    (delivery.outbox / "lessons").mkdir()
    (delivery.outbox / "lessons/anna.jpg").write_bytes(b"holiday")
    done = deliver(delivery)
    assert (done.clash, done.sheet_placed) == (None, False)
    assert (delivery.outbox / "lessons/anna.jpg").read_bytes() == b"holiday"
    assert json.loads((delivery.outbox / "lessons/anna.mp4.json").read_text())["sheet_sha256"] is None


def test_film_without_a_sheet_is_published(make_delivery, tree) -> None:
    delivery = make_delivery()
    delivery.sheet.unlink()
    deliver(delivery)
    deliver(replace(delivery, sheet=None, file_name="b.mp4"))
    assert sorted(tree(delivery.outbox / "lessons")) == ["anna.mp4", "anna.mp4.json", "b.mp4", "b.mp4.json"]


def test_replace_takes_the_place_of_a_film_of_ours_with_report_and_sheet(make_delivery, tree) -> None:
    old = make_delivery(b"old", job_id=OTHER_ID)
    deliver(old)
    new = make_delivery(policy="replace")
    done = deliver(new)
    assert (done.clash, done.sheet_placed) == (None, True)
    found = tree(new.outbox / "lessons")
    assert found["anna.mp4"] == new.film.read_bytes()
    assert found["anna.jpg"] == new.sheet.read_bytes()
    told = json.loads(found["anna.mp4.json"])
    assert (told["job"], told["replaces"]) == (new.job_id, old.sha256)


@pytest.mark.parametrize("has_report", [True, False])
def test_replace_never_takes_a_foreign_film(make_delivery, has_report) -> None:
    new = make_delivery(policy="replace")
    place = new.outbox / "lessons/anna.mp4"
    place.parent.mkdir()
    if has_report:
        deliver(make_delivery(b"old", job_id=OTHER_ID))
        place.unlink()
    place.write_bytes(b"foreign")
    assert deliver(new).clash == "anna.mp4"
    assert place.read_bytes() == b"foreign"
    assert place.with_name("anna.mp4.json").exists() == has_report


def test_damaged_copy_is_never_published(make_delivery, tree) -> None:
    class LyingDisk(FaultyDisk):
        def copy(self, source_fd: int, target_fd: int, max_bytes: int) -> int:
            import os

            data = os.read(source_fd, max_bytes)
            return os.write(target_fd, bytes(len(data))) if data else 0

    delivery = make_delivery()
    with pytest.raises(ResourceError) as caught:
        deliver(delivery, LyingDisk(lambda step, call: None))
    assert caught.value.code == "E202"
    assert tree(delivery.outbox) == {}


@pytest.mark.parametrize("damage", ["changed", "gone"])
def test_film_that_is_not_the_verified_one_is_a_fault_of_ours(make_delivery, tree, damage) -> None:
    delivery = make_delivery()
    delivery.film.write_bytes(b"something else") if damage == "changed" else delivery.film.unlink()
    with pytest.raises(FaultError) as caught:
        deliver(delivery)
    assert caught.value.code == "E502"
    assert tree(delivery.outbox) == {}


def test_missing_outbox_is_an_unreachable_share_and_is_not_made(make_delivery, root, samples) -> None:
    root.outbox.rmdir()
    for act in (lambda: deliver(make_delivery()), lambda: chosen(root, samples)):
        with pytest.raises(ResourceError) as caught:
            act()
        assert caught.value.code == "E201"
    assert not root.outbox.exists()


@pytest.mark.parametrize("sentinel", ['{"uuid": "another"}', "{", None])
def test_other_share_in_the_place_of_the_root_gets_nothing(make_delivery, root, tree, sentinel) -> None:
    root.sentinel.unlink()
    if sentinel is not None:
        root.sentinel.write_text(sentinel)
    with pytest.raises(ResourceError) as caught:
        deliver(make_delivery(root=root))
    assert caught.value.code == "E201"
    assert tree(root.outbox) == {}


@pytest.mark.parametrize("folder", ["lessons", "lessons/deep"])
def test_linked_sub_folder_is_refused_and_nothing_lands_behind_it(make_delivery, root, tmp_path, tree, folder) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root.outbox / "lessons").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ResourceError) as caught:
        deliver(make_delivery(folder=folder))
    assert caught.value.code == "E202"
    assert tree(tmp_path / "elsewhere") == {}


def test_folder_name_cannot_climb_out_of_the_outbox(make_delivery, root, tree) -> None:
    deliver(make_delivery(folder="../../up"))
    assert "outbox/%2E%2E/%2E%2E/up/anna.mp4" in tree(root.path)
