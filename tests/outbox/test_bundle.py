import errno
import hashlib
import json
import os
import zipfile
from pathlib import Path

import pytest

from heygemd.errors import ResourceError
from heygemd.jobs.states import JobState
from heygemd.outbox.bundle import MARK_NAME, BundleFilm, films_of, publish_bundle
from heygemd.outbox.faulty_disk import BARE, FaultyDisk
from heygemd.outbox.publish import deliver

OTHER_ID = "20250131T070001000-otherbat23"


@pytest.fixture
def tmp_path(fast_path: Path) -> Path:
    return fast_path


def nothing(step: int, call: str) -> None:
    del step, call


def job_id(number: int) -> str:
    return f"20250131T08000000{number}-abcdefg{'abcdefgh'[number]}23"


@pytest.fixture
def films(make_delivery) -> tuple[BundleFilm, ...]:
    """Three published films, one with a Chinese name."""
    found = []
    for number, name in enumerate(("ep01.mp4", "第二课.mp4", "ep03.v2.mp4"), 1):
        delivery = make_delivery(bytes([number]) * 3000, job_id=job_id(number), folder="lines", file_name=name)
        deliver(delivery)
        found.append(
            BundleFilm(row=number, job=delivery.job_id, path=f"lines/{name}", sha256=delivery.sha256)
        )  # fmt: skip
    return tuple(found)


def unpacked(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert all(entry.compress_type == zipfile.ZIP_STORED for entry in archive.infolist())
        names = archive.namelist()
        assert len(names) == len(set(names))
        return {name: archive.read(name) for name in names}


def test_zip_holds_all_films_with_reports_and_sheets_under_their_paths(samples, root, films, tree) -> None:
    place = publish_bundle(root, samples.batch(), films)
    assert place == root.outbox / "lines.zip"
    found = unpacked(place)
    mark = json.loads(found.pop(MARK_NAME))
    assert found == {name: data for name, data in tree(root.outbox).items() if name != "lines.zip"}
    assert len(found) == 9
    assert mark["batch"] == samples.batch().id
    assert [film["path"] for film in mark["films"]] == [film.path for film in films]
    assert mark["omitted"] == []


def test_chinese_names_are_marked_as_utf8(samples, root, films) -> None:
    with zipfile.ZipFile(publish_bundle(root, samples.batch(), films)) as archive:
        assert archive.getinfo("lines/第二课.mp4").flag_bits & 0x800


def test_second_run_finds_the_zip_and_changes_nothing(samples, root, films) -> None:
    place = publish_bundle(root, samples.batch(), films)
    before = place.stat()
    (root.outbox / films[0].path).unlink()
    disk = FaultyDisk(nothing)
    assert publish_bundle(root, samples.batch(), films, disk=disk) == place
    assert place.stat() == before
    assert disk.calls == ["sync"]


def marks(path: Path) -> tuple[int, ...]:
    """What tells whether it was touched; reading it is allowed."""
    seen = path.lstat()
    return seen.st_ino, seen.st_mode, seen.st_nlink, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns


@pytest.mark.parametrize("kind", ["file", "zip", "link", "folder", "fifo", "other case"])
def test_taken_name_becomes_a_version_and_the_foreign_thing_stays(samples, root, films, tmp_path, kind) -> None:
    theirs = root.outbox / "lines.zip"
    if kind == "file":
        theirs.write_bytes(b"PK\x03\x04")
    elif kind == "zip":
        with zipfile.ZipFile(theirs, "w") as archive:
            archive.writestr(MARK_NAME, '{"batch": "mine"}')
    elif kind == "link":
        theirs.symlink_to(tmp_path / "nowhere")
    elif kind == "folder":
        theirs.mkdir()
    elif kind == "fifo":
        os.mkfifo(theirs)
    else:
        theirs = root.outbox / "LINES.ZIP"
        theirs.write_bytes(b"")
    before = marks(theirs)
    for _ in range(2):
        assert publish_bundle(root, samples.batch(), films).name == "lines.v2.zip"
    assert marks(theirs) == before
    assert len(list(root.outbox.iterdir())) == 3


def test_second_batch_of_the_name_gets_a_zip_of_its_own(samples, root, films) -> None:
    first = publish_bundle(root, samples.batch(), films[:1])
    second = publish_bundle(root, samples.batch(id=OTHER_ID), films[1:])
    assert (first.name, second.name) == ("lines.zip", "lines.v2.zip")
    first.unlink()
    assert publish_bundle(root, samples.batch(id=OTHER_ID), films[1:]) == second


@pytest.mark.parametrize("what", ["gone", "folder gone", "link", "linked folder", "changed"])
def test_film_that_people_took_away_or_changed_is_listed_instead(samples, root, films, tmp_path, what) -> None:
    film = root.outbox / films[1].path
    if what == "gone":
        film.unlink()
    elif what == "link":
        film.rename(tmp_path / "film")
        film.symlink_to(tmp_path / "film")
    elif what == "changed":
        film.write_bytes(b"edited" * 1000)
    else:
        film.parent.rename(tmp_path / "taken")
        if what == "linked folder":
            film.parent.symlink_to(tmp_path / "taken")
    found = unpacked(publish_bundle(root, samples.batch(), films))
    mark = json.loads(found.pop(MARK_NAME))
    all_gone = "folder" in what
    wanted = {film.path for film in films} if all_gone else {films[1].path}
    assert {told["path"] for told in mark["omitted"]} == wanted
    assert {told["why"] for told in mark["omitted"]} == {"changed" if what == "changed" else "gone"}
    assert {name for name in found if name.endswith(".mp4")} == {film.path for film in films} - wanted
    assert {film["path"] for film in mark["films"]} == {film.path for film in films} - wanted


def test_film_that_goes_away_while_it_is_packed_is_listed_and_nothing_of_it_stays(samples, root, films) -> None:
    for at in range(4, 60, 3):

        def fault(step: int, call: str, at: int = at) -> None:
            if step == at:
                (root.outbox / films[2].path).write_bytes(b"edited while it was packed")

        batch = samples.batch(id=f"20250131T070001000-batch{at:02}aaa".replace("0", "a").replace("1", "b"))
        found = unpacked(publish_bundle(root, batch, films, disk=FaultyDisk(fault)))
        told = {film["path"] for film in json.loads(found[MARK_NAME])["films"]}
        assert {name for name in found if name.endswith(".mp4")} == told
        for film in films:
            if film.path in told:
                assert hashlib.sha256(found[film.path]).hexdigest() == film.sha256
        (root.outbox / films[2].path).write_bytes(bytes([3]) * 3000)


def test_foreign_files_beside_a_film_are_not_packed(samples, root, films) -> None:
    (root.outbox / "lines/ep01.mp4.json").write_text('{"mine": true}')
    (root.outbox / "lines/第二课.jpg").write_bytes(b"holiday")
    found = unpacked(publish_bundle(root, samples.batch(), films))
    assert "lines/ep01.mp4.json" not in found
    assert "lines/第二课.jpg" not in found
    assert "lines/第二课.mp4.json" in found


def test_rows_that_share_one_film_pack_it_once(samples, root, films) -> None:
    twice = (*films, BundleFilm(row=9, job=OTHER_ID, path=films[0].path, sha256=films[0].sha256))
    assert len(unpacked(publish_bundle(root, samples.batch(), twice))) == 10


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "lines/../../x", ""])
def test_path_cannot_climb_out_of_the_outbox(samples, root, path) -> None:
    evil = BundleFilm(row=1, job=OTHER_ID, path=path, sha256=None)
    found = unpacked(publish_bundle(root, samples.batch(), (evil,)))
    assert list(found) == [MARK_NAME]


def test_films_of_a_batch_are_those_of_its_done_rows(samples) -> None:
    done = {"state": JobState.DONE, "folder": "lines", "film_sha256": "ff"}
    jobs = {
        3: samples.job(published_name="c.mp4", **done),
        1: samples.job(published_name="a.mp4", **done),
        2: samples.job(state=JobState.FAILED, published_name="b.mp4"),
    }
    found = films_of(jobs)
    assert [(film.row, film.path, film.sha256) for film in found] == [
        (1, "lines/a.mp4", "ff"),
        (3, "lines/c.mp4", "ff"),
    ]


def test_film_whose_hash_was_not_noted_is_known_by_its_report(samples, root, films) -> None:
    unknown = tuple(BundleFilm(row=film.row, job=film.job, path=film.path, sha256=None) for film in films)
    (root.outbox / films[0].path).write_bytes(b"edited")
    found = unpacked(publish_bundle(root, samples.batch(), unknown))
    assert films[0].path not in found
    assert films[1].path in found


def test_damage_on_the_way_to_the_disk_is_never_published(samples, root, films, tree) -> None:
    class LyingDisk(FaultyDisk):
        def write(self, target_fd: int, data: bytes) -> int:
            return super().write(target_fd, bytes(len(data)) if len(data) == 3000 else data)

    with pytest.raises(ResourceError) as caught:
        publish_bundle(root, samples.batch(), films, disk=LyingDisk(nothing))
    assert caught.value.code == "E202"
    assert not [name for name in tree(root.outbox) if "lines.zip" in name or name.endswith(".part")]


def test_time_before_1980_does_not_stop_a_zip(samples, root, films) -> None:
    batch = samples.batch(accepted_at=samples.now.replace(year=1971))
    assert len(unpacked(publish_bundle(root, batch, films))) == 10


def test_film_too_large_for_a_plain_zip_fits(samples, root, films, monkeypatch) -> None:
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)
    place = publish_bundle(root, samples.batch(), films)
    found = unpacked(place)
    assert hashlib.sha256(found[films[0].path]).hexdigest() == films[0].sha256
    with zipfile.ZipFile(place) as archive:
        assert archive.getinfo(films[0].path).extract_version == zipfile.ZIP64_VERSION
    assert publish_bundle(root, samples.batch(), films) == place


@pytest.mark.parametrize("without", [{}, BARE], ids=["local", "bare"])
def test_killed_at_any_step_and_run_again_gives_one_whole_zip(samples, root, films, tree, *, killed, without) -> None:
    batch = samples.batch()
    disk = FaultyDisk(nothing, without=without)
    place = publish_bundle(root, batch, films, disk=disk)
    wanted = tree(root.outbox)
    assert 20 < len(disk.calls) < 200
    for step in range(len(disk.calls)):
        place.unlink()
        assert killed(lambda fault: publish_bundle(root, batch, films, disk=FaultyDisk(fault, without=without)), step)
        if place.exists():
            assert place.read_bytes() == wanted["lines.zip"]
        publish_bundle(root, batch, films, disk=FaultyDisk(nothing, without=without))
        assert tree(root.outbox) == wanted, f"killed at step {step}"


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EMFILE])
def test_refused_at_any_step_it_pauses_leaves_no_part_and_then_goes_on(samples, root, films, tree, code) -> None:
    batch = samples.batch()
    disk = FaultyDisk(nothing)
    place = publish_bundle(root, batch, films, disk=disk)
    wanted = tree(root.outbox)
    for failing in range(len(disk.calls)):

        def fault(step: int, call: str, at: int = failing) -> None:
            if step == at:
                raise OSError(code, "refused")

        place.unlink()
        with pytest.raises(ResourceError) as caught:
            publish_bundle(root, batch, films, disk=FaultyDisk(fault))
        assert caught.value.code == "E202"
        assert not [name for name in tree(root.outbox) if name.endswith(".part")]
        publish_bundle(root, batch, films)
        assert tree(root.outbox) == wanted


def test_share_that_is_away_is_e201(samples, root, films) -> None:
    root.sentinel.unlink()
    with pytest.raises(ResourceError) as caught:
        publish_bundle(root, samples.batch(), films)
    assert caught.value.code == "E201"
