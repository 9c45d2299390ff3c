"""What no moment may show, whatever people do."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

from heygemd.jobs.batch import Row
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from tests.protocol import goods, model
from tests.protocol.share import Share
from tests.protocol.world import World


class Judge:
    """Compares a world with the protocol."""

    def __init__(self, world: World, share: Share) -> None:
        self.world, self.share = world, share
        self.is_late = False
        """A day has gone by: what was lone then is given up."""
        self.cancelled: set[str] = set()
        """Short ids of the folders in `processing/` that people have cancelled."""
        self.writers: dict[int, int] = {}
        """Files that somebody holds open: descriptor → inode."""
        self.published: dict[str, str] = {}
        """Where the film of each job was first seen."""
        self.batches: dict[str, dict[int, model.GoodRow]] = {}
        """What each manifest that was accepted wants."""
        self.accepted: set[model.Place] = set()
        """What manifests name that were accepted since everything was at rest."""
        self._away_seq = 0
        self.checked: Counter[str] = Counter()
        """How often something was there to be checked."""

    # At every moment --------------------------------------------------------------------------------------------

    def glance(self) -> None:
        """Look at what no moment may show."""
        assert not self.world.room.faults, self.world.room.faults[0]
        assert not self.world.studio.faults, self.world.studio.faults[0]
        self.share.look()
        for job_id, folder in self.world.daemon.store.claim_dirs(self.world.root.uuid).items():
            self.share.aliases[job_id].add(folder.rpartition("__")[2][:8])
        lent = map(Path, self.world.daemon.store.input_paths(self.world.root.uuid))
        self.share.lent |= {path.stem for path in lent if path.parent == self.world.root.shared}
        self._watch_inputs()
        self._watch_batches()
        self._watch_inbox()
        self._watch_outbox()
        self._watch_failed()
        self._watch_absence()
        self.checked["ticks"] += 1

    def _watch_inputs(self) -> None:
        lost = self.share.owed - self.share.inputs()
        assert not lost, f"P1: inputs are gone: {self.share.named(lost)}"
        for path in () if self.world.away else map(Path, self.world.daemon.store.input_paths(self.world.root.uuid)):
            is_copy = path.parent == self.world.root.shared
            assert not is_copy or path.exists(), f"P1: a job has lost its copy {path.name}"

    def _watch_inbox(self) -> None:
        """Only what makes a job may leave the inbox; pairs are never guessed, and what is shared stays."""
        if self.world.away:
            self.share.before = None
            return
        now, before = self.reading(), self.share.before
        self.share.before = now
        if before is not None and before.files.keys() != now.files.keys():
            left = set(before.files) - set(now.files)
            self._note_accepted({place for place in left if model.is_manifest(place[1])}, before)
            for reserved in (before.reserved, now.reserved, self._reserved(with_ended=False)):
                # A manifest may have been accepted, or put away, in this very look, and the daemon hears of it later.
                for more in (set(), self.accepted):
                    left -= replace(before, reserved={*reserved, *more}).leavable(is_late=self.is_late)
            left = {place for place in left if model.kind_of(place[1]) and not self._may_take_reserved(place)}
            assert not left, f"taken out of the inbox for no reason: {left}"
            self.checked["left"] += 1

    def _note_accepted(self, manifests: set[model.Place], before: model.Inbox) -> None:
        """Note what manifests name that have just left the inbox."""
        for folder, name in manifests:
            text = self.share.contents[before.files[folder, name]].decode()
            for row in model.good_rows(text, folder, name.removesuffix(model.MANIFEST)):
                wanted = {model.join(*place).casefold() for place in row.members}
                self.accepted |= {place for place in before.files if model.join(*place).casefold() in wanted}

    def _may_take_reserved(self, place: model.Place) -> bool:
        """A file that several rows name stays until the last of them is a job."""
        rows = [(batch, row) for batch, rows in self.batches.items() for row in rows.values() if place in row.members]
        is_default = model.key_of(place[1]) == model.DEFAULT
        waiting = [batch for batch, row in rows if row.number not in self.world.daemon.store.rows_of_batch(batch)]
        return bool(rows) and not is_default and not (len(rows) > 1 and waiting)

    def reading(self) -> model.Inbox:
        """Return the inbox as the model sees it."""
        files = self.share.inbox()
        inodes = self.share.inodes() if self.writers else {}
        held = {inodes[inode] for inode in self.writers.values() if inode in inodes}
        reserved = self._reserved(with_ended=True)
        return model.Inbox(files=files, tickets=self.share.tickets(), held=held, reserved=reserved)

    def _reserved(self, *, with_ended: bool) -> set[model.Place]:
        """Return what open manifests name; those whose last row has ended are on their way to done/."""
        open_ = self.world.daemon.batches._accounts.items()
        rows = [self.batches.get(batch, {}) for batch, account in open_ if with_ended or not account.is_published]
        return {place for those in rows for row in those.values() for place in row.members}

    def _watch_outbox(self) -> None:
        now, known = self.share.films(), self.share.outbox
        for path in known:
            assert path in now, f"P3: {path} has gone from the outbox"
        for path, content in now.items():
            if path in known and not path.endswith((".zip", ".report.json", ".report.csv")):
                assert goods.sha256(content) == known[path], f"P3: {path} has changed in the outbox"
            elif path.endswith(".mp4") and path not in known:
                self._watch_film(path, content, now)
            known[path] = goods.sha256(content)

    def _watch_film(self, path: str, content: bytes, now: dict[str, bytes]) -> None:
        """A film that has just appeared."""
        assert content in self.world.studio.films, f"P2: {path} is no whole film: {content!r}"
        assert f"{path}.json" in now, f"P2: {path} has no report"
        report = json.loads(now[f"{path}.json"])
        assert report["sha256"] == goods.sha256(content), f"P2: the report of {path} is that of another film"
        assert report["output"] == path.rpartition("/")[2], f"the report of {path} speaks of {report['output']}"
        first = self.published.setdefault(report["job"], path)
        assert first == path, f"P3: the film of {report['job']} was published as {first}, and again as {path}"
        self.checked["films"] += 1

    def _watch_failed(self) -> None:
        """Whatever the daemon puts into `failed/` has its reason from the first moment on."""
        if self.world.away:
            return
        for folder in (self.world.kept / "failed").iterdir():
            if folder.name not in self.share.known_failed:
                names = {path.name for path in folder.iterdir()}
                assert {"REASON.txt", "error.json"} <= names, f"P4: {folder.name} lies in failed/ without a reason"
                self.share.known_failed.add(folder.name)
                self.checked["failed"] += 1

    def _watch_batches(self) -> None:
        """Take down what each accepted manifest wants, and compare that with what was understood."""
        for batch_id, account in self.world.daemon.batches._accounts.items():
            if batch_id in self.batches:
                continue
            batch, rows = account.batch, {}
            if batch.kind.value == "manifest":
                file = self.world.kept / "processing" / batch.claim_dir.name / f"{batch.name}{model.MANIFEST}"
                if not file.exists():
                    continue
                wanted = model.good_rows(file.read_text(), batch.folder, batch.name)
                rows = {row.number: row for row in wanted}
                assert rows.keys() == {row.number for row in batch.good_rows}, "a manifest is misunderstood"
                rows = {row.number: _resolved(rows[row.number], row) for row in batch.good_rows}
                self.checked["rows"] += len(rows)
            self.batches[batch_id] = rows

    def _watch_absence(self) -> None:
        """P7: while the share is away nothing is inferred, and what lies in its place is left alone."""
        store = self.world.daemon.store
        if not self.world.away:
            self._away_seq = max((event.seq for event in store.events(self._away_seq)), default=self._away_seq)
            return
        for event in store.events(self._away_seq):
            is_inferred = event.error_code == "E102" or (
                event.state is JobState.CANCELLED and not self.wishes(store.get(event.job_id)) & self.cancelled
            )
            assert not is_inferred, f"P7: {event} although the share is away"
        place = self.world.root.path
        if self.world.away == "empty":
            assert list(place.iterdir()) == [], "P7: something was written into an empty mount point"
        elif self.world.away == "nothing":
            assert not place.exists(), "P7: the daemon has made a root"
        else:
            files = [path for path in place.rglob("*") if path.is_file()]
            assert [path.name for path in files] == ["root.json"], f"P7: another root was written to: {files}"

    def wishes(self, job: Job) -> set[str]:
        """The short ids in the names of folders by which people cancel a job."""
        return {id8_of(one) for one in (job.id, *([job.row.batch] if job.row else ()))} | self.share.aliases[job.id]


def _resolved(row: model.GoodRow, understood: Row) -> model.GoodRow:
    """Return the row with the names that its files have: case makes no difference as long as there is but one."""
    film = (understood.film_folder, understood.film_name)
    assert [part.casefold() for part in film] == [part.casefold() for part in row.film], f"{row}: {understood}"
    paths = [member.path for member in understood.members]
    assert [path.casefold() for path in paths] == [model.join(*place).casefold() for place in row.members]
    video, audio = (path.rpartition("/") for path in paths)
    return replace(row, film=film, members=((video[0], video[2]), (audio[0], audio[2])))
