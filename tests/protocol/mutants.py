"""Daemons with known bugs, and for each a short scene in which a judge that looks closely must see it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from unittest.mock import patch

from heygemd.daemon import clerk, handover
from heygemd.daemon import loop as daemon_loop
from heygemd.daemon.reception import Reception
from heygemd.daemon.twins import Twins
from heygemd.intake import loose, pairing, watch
from heygemd.intake.batches import Batches
from heygemd.intake.claim import Claims
from heygemd.intake.custody import Custody
from heygemd.intake.record import record_file
from heygemd.intake.settle import Writer
from heygemd.intake.waiting import WaitingRoom
from heygemd.jobs import store
from heygemd.outbox import originals
from tests.protocol import goods, model
from tests.protocol.play import Play


def drop(play: Play, folder: str, *names: str, quality: bytes = goods.GOOD) -> None:
    for name in names:
        play.drop(folder, name, play.content(name, quality))


# Scenes --------------------------------------------------------------------------------------------------------------


def two_pictures_of_one_name(play: Play) -> None:
    drop(play, "", "anna.mp4", "anna.mov", "anna.wav")
    play.rest()


def presenter(play: Play) -> None:
    drop(play, "talks", "_default.mp4", "one.wav", "two.wav")
    play.rest()


def presenter_of_a_long_queue(play: Play) -> None:
    play.world.studio.is_on_strike = True
    drop(play, "talks", "_default.mp4", "one.wav")
    play.step(30)
    play.world.now_s += 1000.0  # more than one round of the sweeper
    play.step(30)
    play.world.studio.end_strike()
    play.rest()


def another_share_in_its_place(play: Play) -> None:
    play.world.studio.is_on_strike = True
    drop(play, "", "anna.mp4", "anna.wav")
    play.step(30)
    play.absence("another")
    play.world.bring_share_back()
    play.world.studio.end_strike()
    play.rest()


def slow_copy(play: Play) -> None:
    drop(play, "", "anna.mp4")
    play.begin_copy("", "anna.wav", play.content("anna.wav") * 2)  # its first half looks whole
    play.rest()
    play.end_copy()
    play.rest()


def second_try(play: Play) -> None:
    drop(play, "", "anna.mp4", quality=goods.FACELESS)
    drop(play, "", "anna.wav")
    play.rest()
    (folder,) = play.listed("failed")
    play.put(folder / "anna.mp4", play.content("anna.mp4"))
    play.move(folder, Path("inbox", folder.name))
    play.share.put_back_count += 1
    play.rest()


def change_of_mind(play: Play) -> None:
    play.world.studio.is_on_strike = True
    drop(play, "", "anna.mp4", "anna.wav")
    play.step(30)
    (folder,) = play.listed("processing")
    play.put(folder / "cancel.txt", b"")
    play.note_cancelled(folder.name)
    play.must_cancel(folder.name)
    play.world.studio.end_strike()
    play.rest()


def sound_taken_out(play: Play) -> None:
    play.world.studio.is_on_strike = True
    drop(play, "", "anna.mp4", "anna.wav")
    play.step(30)
    (folder,) = play.listed("processing")
    play.move(folder / "anna.wav", Path("inbox", "anna.wav"))
    play.note_cancelled(folder.name)
    play.must_cancel(folder.name)
    play.world.studio.end_strike()
    play.rest()


def same_again(play: Play) -> None:
    drop(play, "", "anna.mp4", "anna.wav")
    play.rest()
    for path in sorted((play.world.kept / "done").rglob("anna.*")):
        play.drop("", f"bert{path.suffix}", path.read_bytes())
    play.rest()


def one_picture_and_two_sounds(play: Play) -> None:
    drop(play, "", "anna.mp4", "anna.wav")
    play.rest()
    (picture,) = (play.world.kept / "done").rglob("anna.mp4")
    play.drop("", "anna.mp4", picture.read_bytes())
    drop(play, "", "anna.wav")
    play.rest()


def killed_amid_a_claim(play: Play) -> None:
    drop(play, "", "anna.mp4", "anna.wav")
    play.kill_at(6)
    play.rest()


def list_of_films(play: Play) -> None:
    rows = [model.Row(video="anna.mp4", audio=f"{name}.wav") for name in ("one", "two")]
    drop(play, "", "anna.mp4", "one.wav")
    play.drop("", "list.heygem.json", model.manifest_text(rows, strict=False, bundle=True).encode())
    play.rest()
    drop(play, "", "two.wav")
    play.rest()


def new_file_of_an_old_name(play: Play) -> None:
    """While a list waits for its second sound, somebody drops another first one, and a picture for it."""
    rows = [model.Row(video="anna.mp4", audio=f"{name}.wav") for name in ("one", "two")]
    drop(play, "", "anna.mp4", "one.wav")
    play.drop("", "list.heygem.json", model.manifest_text(rows, strict=False, bundle=False).encode())
    play.rest()
    drop(play, "", "one.wav", "one.mp4")
    play.rest()
    drop(play, "", "two.wav")
    play.rest()
    assert {"list/one.mp4", "list/two.mp4", "one.mp4"} <= set(play.share.films())


def cut_picture(play: Play) -> None:
    drop(play, "", "anna.mp4", quality=goods.CUT)
    drop(play, "", "anna.wav")
    play.rest()


def plain_pair(play: Play) -> None:
    drop(play, "", "anna.mp4", "anna.wav")
    play.rest()


def killed_amid_a_film(play: Play) -> None:
    play.world.studio.tasks_to_come = 2
    drop(play, "", "anna.mp4", "anna.wav")
    play.step(40)
    play.restart(is_killed=True)
    play.world.studio.end_strike()
    play.rest()


def lone_sound(play: Play) -> None:
    drop(play, "", "anna.wav")
    play.rest()
    play.day()


# Bugs ----------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Mutant:
    name: str
    scene: Callable[[Play], None]
    where: object
    attribute: str
    instead: object

    @contextmanager
    def planted(self) -> Iterator[None]:
        with patch.object(self.where, self.attribute, self.instead):
            yield


def _guess(candidates):
    """One picture and one sound of each name will do."""
    first = {(one.folder, one.key, one.is_sound): one for one in candidates}
    return pairing.group(first.values())


def _alone(key, lone, partners):
    group = _judge_lone(key, lone, partners)
    return replace(group, pair=replace(group.pair, shared=frozenset())) if group.pair else group


def _key_without_sound(twins, job):
    return _content_key(twins, replace(job, audio=replace(job.audio, sha256=""))) if job.audio else None


def _forget(custody, record):
    custody._disk.remove(record_file(custody._root, record.job_id))
    return {}


def _close_blindly(batches, closing):
    _close(batches, replace(closing, used=frozenset()))


def _sweep_everything(claims, in_use):
    return _sweep_shared(claims, frozenset())


def _delete_originals(end, ending, job, root):
    end._settings = end._settings.model_copy(update={"originals": "delete"})
    _begin_putting_away(end, ending, job, root)


def _note_no_end(jobs, job, at, code, message):
    if job.state.value != "cancelled":
        _note(jobs, job, at, code, message)


def _discard_all(daemon):
    for folder in (daemon.state_dir / "work").iterdir():
        daemon._discard_work(folder.name)


def _all_at_once(room, now_s, timeout_of):
    return _expired(room, now_s, lambda folder: 0.0)


_judge_lone, _content_key, _sweep_shared = pairing._judge_lone, Twins._content_key, Claims.sweep_shared
_close = Batches.close
_begin_putting_away = handover.Handover._begin_putting_away
_note, _expired = store.JobStore._note, WaitingRoom.expired
_AGAIN_FROM_NOTHING = store._PUT_BACK.replace("forgiven = attempts", "forgiven = 0, attempts = 0")

MUTANTS = (
    Mutant("guesses among two of a name", two_pictures_of_one_name, loose, "group", _guess),
    Mutant("takes the default away", presenter, pairing, "_judge_lone", _alone),
    Mutant("sweeps copies in use", presenter_of_a_long_queue, Claims, "sweep_shared", _sweep_everything),
    Mutant("infers from another share", another_share_in_its_place, clerk, "require_root", lambda root: None),
    Mutant("sees no writer", slow_copy, watch, "find_writer", lambda path, *, is_local: Writer.FREE),
    Mutant("makes a new job of a second try", second_try, Reception, "_take_back", lambda *told: False),
    Mutant("forgets the attempts", second_try, store, "_PUT_BACK", _AGAIN_FROM_NOTHING),
    Mutant("knows one way to cancel", change_of_mind, clerk, "CANCEL_NAMES", frozenset({"cancel"})),
    Mutant("misses no input", sound_taken_out, clerk, "_is_gone", lambda path: False),
    Mutant("logs no cancellation", change_of_mind, store.JobStore, "_note", _note_no_end),
    Mutant("makes everything twice", same_again, Twins, "judge", lambda twins, job: job),
    Mutant("takes another sound for the same", one_picture_and_two_sounds, Twins, "_content_key", _key_without_sound),
    Mutant("loses what it gives back", killed_amid_a_claim, Custody, "put_back", _forget),
    Mutant("takes a shared member at once", list_of_films, Batches, "is_shared", lambda *told: False),
    Mutant("puts away what was never used", new_file_of_an_old_name, Batches, "close", _close_blindly),
    Mutant("gives no reason", cut_picture, originals, "_fill", lambda *told: None),
    Mutant("deletes originals", plain_pair, handover.Handover, "_begin_putting_away", _delete_originals),
    Mutant("renders everything again", killed_amid_a_film, daemon_loop.Daemon, "sweep_work", _discard_all),
    Mutant("gives up lone files at once", lone_sound, WaitingRoom, "expired", _all_at_once),
)
