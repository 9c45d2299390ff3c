import errno
import json
import pickle
import unicodedata
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.errors import FaultError, InputError, ResourceError, SetupError
from heygemd.jobs.roots import Root
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.publish import choose_name, deliver, deliver_single

OTHER_ID = "20250131T080001000-zyxwvuts76"


def chosen(root: Root, samples, stem: str = "anna", policy: str = "version", job_id: str | None = None) -> str:
    return choose_name(root.outbox, "lessons", stem, policy, job_id or samples.job_id)


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


@pytest.mark.parametrize(
    "name", ["漢" * 200, "CON", "a:b", "👩‍🚀 Ω", unicodedata.normalize("NFD", "Müller"), "two\nlines", "\udcc4", "-x"]
)
def test_any_name_can_be_published_and_read_back(make_delivery, root, samples, name) -> None:
    delivery = make_delivery(file_name=chosen(root, samples, name))
    assert deliver(delivery).clash is None
    assert chosen(root, samples, name) == delivery.file_name
    second = chosen(root, samples, name, job_id=OTHER_ID)
    assert deliver(make_delivery(b"2", job_id=OTHER_ID, file_name=second)).clash is None
    assert second.removesuffix(".v2.mp4") == delivery.file_name.removesuffix(".mp4")


def test_free_name_is_taken_as_it_is(root, samples) -> None:
    assert chosen(root, samples) == "anna.mp4"


@pytest.mark.parametrize("taken", ["anna.mp4", "ANNA.MP4", "anna.mp4.json", "anna.jpg", "anna.JPG"])
def test_name_is_free_only_with_all_its_companions_and_in_any_case(root, samples, taken) -> None:
    (root.outbox / "lessons").mkdir()
    (root.outbox / "lessons" / taken).write_bytes(b"")
    assert chosen(root, samples) == "anna.v2.mp4"


def test_version_skips_what_is_taken(root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    for name in ("anna.mp4", "anna.v2.mp4", "anna.v4.mp4"):
        (root.outbox / "lessons" / name).write_bytes(b"")
    assert chosen(root, samples) == "anna.v3.mp4"


def test_version_stays_when_the_earlier_film_is_taken_away(make_delivery, root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    (root.outbox / "lessons/anna.mp4").write_bytes(b"")
    deliver(make_delivery(file_name="anna.v2.mp4"))
    (root.outbox / "lessons/anna.mp4").unlink()
    assert chosen(root, samples) == "anna.v2.mp4"


def test_foreign_film_under_our_own_report_is_not_taken_for_ours(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    (root.outbox / "lessons/anna.mp4").write_bytes(b"foreign now")
    assert chosen(root, samples) == "anna.v2.mp4"


def test_policy_replace_chooses_the_name_of_a_film_of_ours_only(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").unlink()
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").write_bytes(b"foreign")
    assert chosen(root, samples, policy="replace", job_id=OTHER_ID) == "anna.v2.mp4"


def test_policy_fail_refuses_a_taken_name_but_not_its_own(make_delivery, root, samples) -> None:
    deliver(make_delivery())
    assert chosen(root, samples, policy="fail") == "anna.mp4"
    with pytest.raises(InputError, match=r"anna.mp4.* already"):
        chosen(root, samples, policy="fail", job_id=OTHER_ID)


def test_folder_of_many_films_is_looked_through_quickly(root, samples) -> None:
    (root.outbox / "lessons").mkdir()
    for number in range(2, 300):
        (root.outbox / f"lessons/anna.v{number}.mp4").write_bytes(b"")
    assert chosen(root, samples) == "anna.mp4"
    (root.outbox / "lessons/anna.mp4").write_bytes(b"")
    assert chosen(root, samples) == "anna.v300.mp4"


def single(delivery, output: Path, *, overwrite: bool = False, **changes):
    delivery = replace(delivery, **changes)
    return deliver_single(
        delivery.film, delivery.sheet, delivery.report_json, output, overwrite=overwrite, sha256=delivery.sha256
    )


def test_single_film_lies_where_it_was_asked_for(make_delivery, tmp_path, tree) -> None:
    place = tmp_path / "any where"
    place.mkdir()
    done = single(make_delivery(), place / "my film.mp4")
    assert (done.film, done.sheet_placed) == (place / "my film.mp4", True)
    assert sorted(tree(place)) == ["my film.jpg", "my film.mp4", "my film.mp4.json"]


def test_single_film_follows_a_link_to_its_folder(make_delivery, tmp_path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    single(make_delivery(), tmp_path / "link/x.mp4")
    assert (tmp_path / "real/x.mp4").is_file()


def test_single_film_replaces_only_when_told(make_delivery, tmp_path) -> None:
    output = tmp_path / "x.mp4"
    output.write_bytes(b"foreign")
    with pytest.raises(InputError, match=r"x\.mp4 exists"):
        single(make_delivery(), output)
    assert output.read_bytes() == b"foreign"
    single(make_delivery(), output, overwrite=True)
    assert output.read_bytes() == make_delivery().film.read_bytes()
    single(make_delivery(b"newer", job_id=OTHER_ID), output, overwrite=True)
    assert output.read_bytes() == b"newer"
    assert output.with_suffix(".jpg").read_bytes() == b"sheet of newer"


def test_overwrite_never_takes_the_photo_beside_the_film(make_delivery, tmp_path) -> None:
    photo = tmp_path / "anna.jpg"
    photo.write_bytes(b"the photo the film is made from")
    for number in (1, 2):
        single(make_delivery(b"film %d" % number), tmp_path / "anna.mp4", overwrite=True)
    assert photo.read_bytes() == b"the photo the film is made from"


def test_overwrite_never_takes_a_foreign_json_file(make_delivery, tmp_path, tree) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/x.mp4.json").write_text('{"mine": true}')
    with pytest.raises(InputError, match=r"x\.mp4\.json exists"):
        single(make_delivery(), tmp_path / "out/x.mp4", overwrite=True)
    assert tree(tmp_path / "out") == {"x.mp4.json": b'{"mine": true}'}


def test_folder_that_does_not_exist_is_a_mistake_of_the_user(make_delivery, tmp_path) -> None:
    with pytest.raises(SetupError) as caught:
        single(make_delivery(), tmp_path / "typo/x.mp4")
    assert caught.value.code == "E401"


def test_single_film_on_a_full_disk_leaves_nothing(make_delivery, tmp_path, tree) -> None:
    def full(step: int, call: str) -> None:
        if call == "copy":
            raise OSError(errno.ENOSPC, "full")

    (tmp_path / "out").mkdir()
    one = make_delivery()
    with pytest.raises(ResourceError) as caught:
        deliver_single(
            one.film, one.sheet, one.report_json, tmp_path / "out/x.mp4", overwrite=False, sha256=one.sha256,
            disk=FaultyDisk(full),
        )  # fmt: skip
    assert caught.value.code == "E202"
    assert tree(tmp_path / "out") == {}
