"""A single film, published where the user asked for it."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from heygemd.errors import InputError, ResourceError, SetupError
from heygemd.outbox.faulty_disk import FaultyDisk
from heygemd.outbox.publish import deliver_single
from tests.outbox.publishing import OTHER_ID


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
