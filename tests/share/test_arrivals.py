"""How files arrive over a real share, and when they count as complete."""

import hashlib
import subprocess
from contextlib import ExitStack

import pytest
from smbprotocol.open import RequestedOplockLevel

from tests.share.media import pair, picture, sound
from tests.share.premises import BEYOND_SETTLE_S, SETTLE_S, all_stay

pytestmark = [pytest.mark.samba, pytest.mark.ffmpeg, pytest.mark.slow]


def pieces(data, count):
    """(offset, bytes) in order."""
    step = -(-len(data) // count)
    return [(start, data[start : start + step]) for start in range(0, len(data), step)]


def test_a_plain_put_comes_out_as_a_film_that_the_client_can_fetch(anna, sums, tmp_path):
    mine = pair("plain")
    anna.put_pair(mine, "plain")
    film = anna.film("plain")
    assert film.sums == sums(mine)
    anna.smb(f'get outbox/plain.mp4 "{tmp_path / "film.mp4"}"', f'get outbox/plain.mp4.json "{tmp_path / "report"}"')
    assert (tmp_path / "film.mp4").read_bytes() == film.path.read_bytes()
    assert not (anna.root.inbox / "plain.mp4").exists()


def test_a_slow_put_is_not_touched_before_its_end(anna, sums):
    mine = pair("slow", is_refused=True, seconds=3)
    anna.put(mine.video, "inbox/slow.mp4")
    argv = anna.samba.client_argv("anna", "put - inbox/slow.wav")
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.STDOUT) as client:
        for _, piece in pieces(mine.audio, 6):
            client.stdin.write(piece)
            client.stdin.flush()
            anna.stays("slow.mp4", for_s=1.5 * SETTLE_S)
        client.stdin.close()
    assert client.returncode == 0
    assert anna.failure("slow").sums == sums(mine)


@pytest.mark.parametrize("is_later", [False, True], ids=["at once", "later"])
def test_a_put_that_was_cut_off_waits_to_be_resumed(anna, sums, is_later):
    name = "resumed-later" if is_later else "resumed"
    mine = pair(name, is_refused=True, padding_bytes=400_000)
    (_, first), (offset, rest) = pieces(mine.video, 2)
    anna.put(mine.audio, f"inbox/{name}.wav")
    with anna.wire() as wire:
        wire.open(f"inbox/{name}.mp4").write(first, 0)
        wire.cut()
    anna.stays(f"{name}.mp4", f"{name}.wav", for_s=BEYOND_SETTLE_S if is_later else 0)
    with anna.wire() as wire:
        file = wire.open(f"inbox/{name}.mp4", is_new=False)
        file.write(rest, offset)
        file.close()
    assert anna.failure(name).sums == sums(mine)


def test_reput_of_smbclient_hands_in_what_it_left(anna, tmp_path):
    """smbclient 4.17 writes the rest over the beginning: such a file is taken as it is, and found to be no picture."""
    mine = pair("reput", is_refused=True, padding_bytes=400_000)
    anna.put(mine.audio, "inbox/reput.wav")
    with anna.wire() as wire:
        wire.open("inbox/reput.mp4").write(mine.video[: len(mine.video) // 2], 0)
        wire.cut()
    anna.stays("reput.mp4", "reput.wav")
    (tmp_path / "whole.mp4").write_bytes(mine.video)
    anna.smb(f'reput "{tmp_path / "whole.mp4"}" inbox/reput.mp4')
    ended = anna.failure("reput")
    left = (ended.path / "reput.mp4").read_bytes()
    assert hashlib.sha256(left).hexdigest() == ended.sums[0]
    assert ended.report["error"]["code"] == ("E105" if left == mine.video else "E101")


def test_size_first_then_stalls_with_the_handle_open_is_waited_for(people, sums):
    mine = {person: pair(f"sized-{person.name}", is_refused=True) for person in people}
    with ExitStack() as stack:
        files = {}
        for person in people:
            person.put(mine[person].video, "inbox/sized.mp4")
            files[person] = stack.enter_context(person.wire()).open("inbox/sized.wav")
            files[person].set_size(len(mine[person].audio))
        watched = dict.fromkeys(people, ("sized.mp4", "sized.wav"))
        for number in range(2):
            all_stay(watched)
            for person in people:
                offset, piece = pieces(mine[person].audio, 2)[number]
                files[person].write(piece, offset)
        all_stay(watched)
        for person in people:
            files[person].close()
    for person in people:
        assert person.failure("sized").sums == sums(mine[person])


@pytest.mark.parametrize("pause_s", [SETTLE_S / 2, BEYOND_SETTLE_S], ids=["below settle", "beyond settle"])
def test_size_first_with_a_new_handle_for_each_piece_is_never_failed(people, pause_s):
    """Nobody has it open in the pauses: holes tell on Anna's share, on Bert's the index that is still missing."""
    name = f"reopened{round(10 * pause_s)}"
    videos = {}
    for person in people:
        seed = person.name + name
        videos[person] = picture(seed, is_refused=True, is_moov_last=True, padding_bytes=60_000)
        person.put(sound(seed), f"inbox/{name}.wav")
    with ExitStack() as stack:
        wires = {person: stack.enter_context(person.wire()) for person in people}
        for person, wire in wires.items():
            first = wire.open(f"inbox/{name}.mp4")
            first.set_size(len(videos[person]))
            first.close()
        for number in range(2):
            all_stay(dict.fromkeys(people, (f"{name}.mp4", f"{name}.wav")), for_s=pause_s)
            for person, wire in wires.items():
                file = wire.open(f"inbox/{name}.mp4", is_new=False)
                offset, piece = pieces(videos[person], 2)[number]
                file.write(piece, offset)
                file.close()
    for person in people:
        ended = person.failure(name)
        assert ended.report["error"]["code"] == "E105", "it was failed before it was complete"
        assert (ended.path / f"{name}.mp4").read_bytes() == videos[person]


def test_a_client_that_dates_its_files_to_another_century_changes_nothing(anna, sums):
    mine = pair("centuries", is_refused=True)
    with anna.wire() as wire:
        for suffix, data, year in (("mp4", mine.video, 2001), ("wav", mine.audio, 2101)):
            file = wire.open(f"inbox/centuries.{suffix}")
            for offset, piece in pieces(data, 2):
                file.write(piece, offset)
                file.set_mtime(year)
                anna.stays(f"centuries.{suffix}", for_s=SETTLE_S)
            file.close()
    assert anna.failure("centuries").sums == sums(mine)


def test_somebody_who_only_looks_at_a_file_holds_nothing_up(anna, sums):
    mine = pair("watched", is_refused=True)
    anna.put(mine.video, "inbox/watched.mp4")
    with anna.wire() as wire:
        reader = wire.open(
            "inbox/watched.mp4", is_new=False, is_reader=True, oplock=RequestedOplockLevel.SMB2_OPLOCK_LEVEL_BATCH
        )
        anna.put(mine.audio, "inbox/watched.wav")
        assert anna.failure("watched").sums == sums(mine)
        reader.close()


def test_rename_while_the_handle_is_open_does_not_make_it_complete(anna, sums):
    mine = pair("renamed-open", is_refused=True)
    anna.put(mine.audio, "inbox/renamed-open.wav")
    with anna.wire() as wire:
        file = wire.open("inbox/renamed-open.mp4.part")
        (_, first), (offset, second) = pieces(mine.video, 2)
        file.write(first, 0)
        file.rename("inbox/renamed-open.mp4")
        anna.stays("renamed-open.mp4", "renamed-open.wav")
        file.write(second, offset)
        file.close()
    assert anna.failure("renamed-open").sums == sums(mine)


def test_rename_on_the_share_makes_it_a_partner(anna, sums):
    old = {"a": "{}.mp4.part", "b": ".{}.mp4", "c": "{}.mp4.filepart", "d": "~{}.tmp", "e": "another-{}.mp4"}
    mine = {name: pair(f"renamed-{name}", is_refused=True) for name in old}
    for name, data in mine.items():
        anna.put(data.audio, f"inbox/renamed-{name}.wav")
        anna.put(data.video, f"inbox/{old[name].format(name)}")
    anna.stays(*(f"renamed-{name}.wav" for name in old), for_s=2 * SETTLE_S)
    anna.smb(*(f'rename "inbox/{old[name].format(name)}" "inbox/renamed-{name}.mp4"' for name in old))
    for name, data in mine.items():
        assert anna.failure(f"renamed-{name}").sums == sums(data)


def test_overwriting_what_waits_for_its_partner_hands_in_the_newer_bytes(anna, sums):
    older, mine = pair("older"), pair("overwritten", is_refused=True)
    anna.put(older.video, "inbox/overwritten.mp4")
    anna.stays("overwritten.mp4", for_s=2 * SETTLE_S)
    anna.put(mine.video, "inbox/overwritten.mp4")
    anna.put(mine.audio, "inbox/overwritten.wav")
    assert anna.failure("overwritten").sums == sums(mine)


def test_deleted_before_the_claim_is_forgotten(anna):
    mine = pair("deleted")
    anna.put(mine.video, "inbox/deleted.mp4")
    anna.stays("deleted.mp4", for_s=SETTLE_S)
    anna.smb("rm inbox/deleted.mp4")
    anna.put(mine.audio, "inbox/deleted.wav")
    anna.stays("deleted.wav")
    assert [name for name in anna.tree() if "deleted" in name] == ["inbox/deleted.wav"]
    anna.smb("rm inbox/deleted.wav")
