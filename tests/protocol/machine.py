"""People, bad luck and time, as hypothesis draws them."""

import shutil
import sys
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.protocol import goods, model
from tests.protocol.draws import (
    CONFIGS,
    FOLDERS,
    HOW,
    NUMBERS,
    PAUSES,
    PICTURES,
    QUALITIES,
    ROWS,
    SOUNDS,
    STEMS,
    SUFFIXES,
)  # fmt: skip
from tests.protocol.play import Play

TOTALS: Counter[str] = Counter()
"""What all worlds together have checked."""


class FolderMachine(RuleBasedStateMachine):
    """One world; each rule is one act, and the daemon ticks a while after it."""

    def __init__(self) -> None:
        super().__init__()
        fast = Path("/dev/shm")
        self.play = Play(Path(tempfile.mkdtemp(prefix="protocol-", dir=fast if fast.is_dir() else None)))

    @property
    def world(self):
        return self.play.world

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:
                self._end_well()
        finally:
            TOTALS.update(self.play.judge.checked)
            TOTALS["worlds"] += 1
            self.play.end()

    def _end_well(self) -> None:
        """However bad the days were: everything comes to rest."""
        if self.world.away:
            self.world.bring_share_back()
        self.world.studio.end_strike()
        while self.play.open_files:
            self.play.end_copy()
        self.play.rest()

    def act(self, pause: int) -> None:
        TOTALS["acts"] += 1
        self.play.step(pause)

    def pick(self, things: list[Path], number: int) -> Path | None:
        return things[number % len(things)] if things else None

    @initialize(shops=st.lists(st.tuples(FOLDERS, STEMS, QUALITIES), min_size=1, max_size=3), pause=PAUSES)
    def open_shop(self, shops, pause):
        """No world is without work; what a person drops one file at a time seldom makes a film."""
        for folder, stem, quality in shops:
            for suffix, its in (("mp4", quality), ("wav", goods.GOOD)):
                self.play.drop(folder, f"{stem}.{suffix}", self.play.content(f"{stem}.{suffix}", its))
        self.act(pause)

    # Files of the inbox -----------------------------------------------------------------------------------------

    @rule(folder=FOLDERS, stem=STEMS, picture=PICTURES, sound=SOUNDS, quality=QUALITIES, pause=PAUSES)
    def drop_pair(self, *, folder, stem, picture, sound, quality, pause):
        for suffix, its in ((picture, quality), (sound, goods.GOOD)):
            name = f"{stem}.{suffix}"
            self.play.drop(folder, name, self.play.content(name, its))
        self.act(pause)

    @rule(folder=FOLDERS, stem=STEMS, suffix=SUFFIXES, quality=QUALITIES, how=HOW, pause=PAUSES)
    def drop_file(self, *, folder, stem, suffix, quality, how, pause):
        name = f"{stem}.{suffix}"
        self.play.drop(folder, name, self.play.content(name, quality), how)
        self.act(pause)

    @precondition(lambda self: self.play.listed("done"))
    @rule(folder=FOLDERS, stem=STEMS, number=NUMBERS, pause=PAUSES)
    def drop_same_pair_again(self, folder, stem, number, pause):
        """The inputs of a film that is there are copied into the inbox."""
        kept = self.world.kept
        folders = sorted({path.parent for path in (kept / "done").rglob("*") if model.kind_of(path.name)})
        if (source := self.pick(folders, number)) is not None:
            for path in sorted(source.iterdir()):
                if model.kind_of(path.name):
                    self.play.drop(folder, f"{stem}{path.suffix}", path.read_bytes())
        self.act(pause)

    @rule(folder=FOLDERS, stem=STEMS, suffix=SOUNDS, pause=PAUSES)
    def begin_copy(self, folder, stem, suffix, pause):
        name = f"{stem}.{suffix}"
        self.play.begin_copy(folder, name, self.play.content(name))
        self.act(pause)

    @precondition(lambda self: self.play.open_files)
    @rule(pause=PAUSES)
    def end_copy(self, pause):
        self.play.end_copy()
        self.act(pause)

    @precondition(lambda self: self.play.inbox_files())
    @rule(number=NUMBERS, pause=PAUSES)
    def delete_file(self, number, pause):
        if (path := self.pick(self.play.inbox_files(), number)) is not None:
            self.play.delete(path)
        self.act(pause)

    @precondition(lambda self: self.play.inbox_files())
    @rule(number=NUMBERS, pause=PAUSES)
    def write_on(self, number, pause):
        """Somebody opens a file that lies there, adds something, and closes it."""
        path = self.pick(self.play.inbox_files(), number)
        if path is not None and not model.is_manifest(path.name):
            self.play.put(path, (self.world.kept / path).read_bytes() + b"free".rjust(8, b"\0"))
        self.act(pause)

    @rule(folder=FOLDERS, stem=STEMS, suffix=st.sampled_from(["", ".wav", ".mp4"]), pause=PAUSES)
    def put_marker(self, folder, stem, suffix, pause):
        """Somebody says that a file is complete, whether it is there or not."""
        self.play.put(Path("inbox", folder, f"{stem}{suffix}.ready"), b"")
        self.act(pause)

    @rule(folder=st.sampled_from(["", "a", "a/b"]), text=CONFIGS, pause=PAUSES)
    def configure_folder(self, folder, text, pause):
        self.play.put(Path("inbox", folder, ".heygemd.toml"), text)
        self.act(pause)

    @precondition(lambda self: self.play.inbox_files())
    @rule(number=NUMBERS, folder=FOLDERS, stem=STEMS, pause=PAUSES)
    def rename_file(self, number, folder, stem, pause):
        if (path := self.pick(self.play.inbox_files(), number)) is not None:
            name = path.name if model.is_manifest(path.name) else f"{stem}{path.suffix}"
            self.play.move(path, Path("inbox", folder, name))
        self.act(pause)

    @precondition(lambda self: self.play.inbox_folders())
    @rule(number=NUMBERS, folder=FOLDERS, name=st.sampled_from(["c", "Winter.job", "a"]), pause=PAUSES)
    def rename_folder(self, number, folder, name, pause):
        if (path := self.pick(self.play.inbox_folders(), number)) is not None:
            self.play.move(path, Path("inbox", folder, name))
        self.act(pause)

    @precondition(lambda self: self.play.inbox_folders())
    @rule(number=NUMBERS, pause=PAUSES)
    def delete_folder(self, number, pause):
        if (path := self.pick(self.play.inbox_folders(), number)) is not None:
            self.play.delete(path)
        self.act(pause)

    @rule(
        folder=FOLDERS, stem=st.sampled_from(["list", "anna"]), rows=st.lists(ROWS, min_size=1, max_size=3),
        strict=st.sampled_from([False, False, True]), bundle=st.booleans(), pause=PAUSES,
    )  # fmt: skip
    def drop_manifest(self, *, folder, stem, rows, strict, bundle, pause):
        text = model.manifest_text(rows, strict=strict, bundle=bundle)
        self.play.drop(folder, f"{stem}{model.MANIFEST}", text.encode())
        self.act(pause)

    # Folders of jobs --------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.listed("processing"))
    @rule(number=NUMBERS, word=st.sampled_from(["CANCEL", "cancel.txt", "Cancel"]), pause=PAUSES)
    def cancel(self, number, word, pause):
        if (folder := self.pick(self.play.listed("processing"), number)) is not None:
            self.play.put(folder / word, b"")
            self.play.note_cancelled(folder.name)
            if self.world.studio.is_on_strike and not self.world.away:
                self.play.must_cancel(folder.name)
        self.act(pause)

    @precondition(lambda self: self.play.listed("processing"))
    @rule(number=NUMBERS, where=st.sampled_from(["out", "inbox", "inbox/a"]), pause=PAUSES)
    def take_away(self, number, where, pause):
        """A folder is moved out of processing/: out of the share, or into the inbox again."""
        if (folder := self.pick(self.play.listed("processing"), number)) is not None:
            self.play.note_cancelled(folder.name)
            if where == "out":
                self.play.delete(folder)
            else:
                self.play.move(folder, Path(where, folder.name))
            if self.world.studio.is_on_strike and not self.world.away:
                self.play.must_cancel(folder.name)
        self.act(pause)

    @rule(
        top=st.sampled_from(["processing", "processing", "failed", "done"]), number=NUMBERS,
        where=st.sampled_from(["out", "inbox", "other name"]), folder=FOLDERS, stem=STEMS, pause=PAUSES,
    )  # fmt: skip
    def take_input_out(self, *, top, number, where, folder, stem, pause):
        """A single file is taken out of a folder of the daemon's, or has another name there."""
        path = self.pick(self.play.inputs_in(top), number)
        if path is None:
            return
        is_needed = self.play.needs(path)
        if top == "processing":
            self.play.note_cancelled(path.parts[1])
        if where == "out":
            self.play.delete(path)
        else:
            self.play.move(
                path, path.with_stem("x") if where == "other name" else Path("inbox", folder, stem + path.suffix)
            )
        if (
            is_needed
            and not (self.world.kept / path).exists()
            and self.world.studio.is_on_strike
            and not self.world.away
        ):
            self.play.must_cancel(path.parts[1])
        self.act(pause)

    @precondition(lambda self: self.play.listed("failed"))
    @rule(number=NUMBERS, folder=FOLDERS, is_mended=st.booleans(), pause=PAUSES)
    def try_again(self, number, folder, is_mended, pause):
        """A folder of failed/ is moved back, its bad files perhaps exchanged for good ones."""
        if (source := self.pick(self.play.listed("failed"), number)) is not None:
            if is_mended:
                self._mend(source)
            self.play.move(source, Path("inbox", folder, source.name))
            self.play.share.put_back_count += 1
        self.act(pause)

    @precondition(lambda self: self.play.listed("failed"))
    @rule(number=NUMBERS, folder=FOLDERS, pause=PAUSES)
    def copy_failed(self, number, folder, pause):
        """A folder of failed/ is copied into the inbox: the same job may run once, and all else is new."""
        if (source := self.pick(self.play.listed("failed"), number)) is not None:
            with self.play.share.people() as kept:
                target = kept / "inbox" / folder / source.name
                if not target.exists():
                    shutil.copytree(kept / source, target)
            self.play.share.put_back_count += 1
        self.act(pause)

    @precondition(lambda self: self.play.listed("done"))
    @rule(number=NUMBERS, folder=FOLDERS, pause=PAUSES)
    def drag_done_back(self, number, folder, pause):
        days = self.play.listed("done")
        folders = [path for day in days for path in self.play.listed(*day.parts)]
        if (source := self.pick(folders, number)) is not None:
            self.play.move(source, Path("inbox", folder, source.name))
            self.play.share.put_back_count += 1
        self.act(pause)

    def _mend(self, folder: Path) -> None:
        for path in self.play.listed(*folder.parts, want=lambda path: model.kind_of(path.name) is not None):
            if goods.quality_of((self.world.kept / path).read_bytes()) != goods.GOOD:
                self.play.put(path, self.play.content(path.name))

    # The outbox -------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.play.share.films())
    @rule(number=NUMBERS, pause=PAUSES)
    def take_film(self, number, pause):
        films = [Path("outbox", path) for path in sorted(self.play.share.films()) if path.endswith(".mp4")]
        if (film := self.pick(films, number)) is not None:
            for path in (film, film.with_name(film.name + ".json"), film.with_suffix(".jpg")):
                if (self.world.kept / path).exists():
                    self.play.delete(path)
        self.act(pause)

    @rule(folder=FOLDERS, stem=STEMS, suffix=st.sampled_from([".mp4", ".jpg", ".mp4.json"]), pause=PAUSES)
    def put_into_outbox(self, folder, stem, suffix, pause):
        path = Path("outbox", folder.removesuffix(".job"), stem + suffix)
        if not (self.world.kept / path).exists():
            self.play.put(path, b"somebody's own")
        self.act(pause)

    # Time and bad luck ------------------------------------------------------------------------------------------

    @rule(ticks=st.integers(1, 30))
    def wait(self, ticks):
        self.act(ticks)

    @precondition(lambda self: not self.world.away)
    @rule()
    def rest(self):
        self.play.rest()

    @precondition(lambda self: not self.world.away and not self.world.studio.is_on_strike)
    @rule()
    def let_a_day_go_by(self):
        self.play.rest()
        self.play.day()

    @precondition(lambda self: self.world.away != "another")
    @rule(is_killed=st.booleans())
    def restart(self, is_killed):
        self.play.restart(is_killed=is_killed)

    @rule(steps=st.integers(0, 12))
    def kill_amid_intake(self, steps):
        self.play.kill_at(steps)

    @rule(steps=st.integers(0, 12), number=NUMBERS, what=st.sampled_from(["delete", "exchange", "write on", "rename"]))
    def meddle_amid_intake(self, steps, number, what):
        """Somebody changes a file of the inbox in the middle of a claim."""
        self.play.meddle_at(steps, lambda: self._meddle(number, what))

    def _meddle(self, number: int, what: str) -> None:
        path = self.pick(self.play.inbox_files(), number)
        if path is None or model.is_manifest(path.name):
            return
        folder = path.relative_to("inbox").parent.as_posix()
        if what == "delete":
            self.play.delete(path)
        elif what == "exchange":
            self.play.drop(folder, path.name, self.play.content(path.name), "renamed")
        elif what == "write on":
            self.play.put(path, (self.world.kept / path).read_bytes() + b"free".rjust(8, b"\0"))
        else:
            self.play.move(path, path.with_stem("bert"))

    @precondition(lambda self: not self.world.away)
    @rule(instead=st.sampled_from(["nothing", "empty", "another"]))
    def take_share_away(self, instead):
        self.play.absence(instead)

    @precondition(lambda self: self.world.away)
    @rule(pause=PAUSES)
    def bring_share_back(self, pause):
        self.world.bring_share_back()
        self.act(pause)

    @rule(lag=st.integers(0, 4), is_early=st.booleans())
    def slow_children(self, lag, is_early):
        self.world.room.lag_polls, self.world.room.is_early = lag, is_early

    @precondition(lambda self: not self.world.studio.is_on_strike)
    @rule(tasks=st.integers(0, 4))
    def begin_strike(self, tasks):
        """Nobody works any more, after a few tasks."""
        self.world.studio.tasks_to_come = tasks
        self.world.studio.is_on_strike = tasks == 0

    @precondition(lambda self: self.world.studio.is_on_strike)
    @rule(pause=PAUSES)
    def end_strike(self, pause):
        self.world.studio.end_strike()
        self.act(pause)

    @rule(deaths=st.integers(1, 2))
    def kill_workers(self, deaths):
        self.world.studio.deaths_to_come = deaths
