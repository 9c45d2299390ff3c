"""What must be true when everything is at rest."""

import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

from heygemd.jobs.batch import Batch
from heygemd.jobs.ids import id8_of
from heygemd.jobs.job import Job
from heygemd.jobs.states import NEXT, JobState
from heygemd.outbox.names import film_stem, is_version_of, mirrored
from tests.protocol import goods, model
from tests.protocol.judge import Judge

ALIVE = (JobState.QUEUED, JobState.RUNNING)
ENDED = (JobState.DONE, JobState.FAILED, JobState.CANCELLED)
MAX_DEATHS = 2
"""Workers that one task may end before its job is failed."""


class Audit:
    """One look at a world in which nothing is on its way any more."""

    def __init__(self, judge: Judge) -> None:
        self.judge, self.world, self.share = judge, judge.world, judge.share
        self.store = judge.world.daemon.store
        self.jobs = {job.id: job for job in self.store.jobs()}

    def audit(self) -> None:
        """Look at everything; nothing is on its way any more."""
        self._audit_events()
        for job in self.jobs.values():
            self._audit_job(job)
        self._audit_inbox()
        self._audit_share()
        self._audit_copies()
        self._audit_done()
        self._audit_work()
        self._audit_status()
        self.judge.accepted.clear()
        self.judge.checked["audits"] += 1

    def _audit_events(self) -> None:
        """P6: one line for each transition, and none but legal ones."""
        told = [(line["seq"], line["job"], line["state"]) for line in self.world.events()]
        assert told == [(event.seq, event.job_id, event.state.value) for event in self.store.events()], (
            "P6: the event log"
        )
        assert [seq for seq, _, _ in told] == list(range(1, len(told) + 1)), "P6: a gap in the event log"
        last: dict[str, JobState] = {}
        for _, job_id, word in told:
            state = JobState(word)
            before = last.get(job_id)
            allowed = NEXT[before] if before else {JobState.QUEUED, JobState.FAILED}
            assert state in allowed, f"P6: {job_id} went from {before} to {state}"
            last[job_id] = state
        assert last == {job.id: job.state for job in self.jobs.values()}, "P6: the log ends elsewhere"

    def _audit_attempts(self, job: Job) -> None:
        """Attempts go on when a job is put back, and only a run that was stopped gives one back."""
        for before, now in pairwise(self.store.events_of(job.id)):
            more = now.attempts - before.attempts
            is_stopped = before.state is JobState.RUNNING and now.state is JobState.QUEUED
            allowed = (0, -1) if is_stopped else (int(now.state is JobState.RUNNING),)
            assert more in allowed, f"attempts of {job.id} went from {before} to {now}"
            is_put_back = before.state in (JobState.FAILED, JobState.CANCELLED)
            self.judge.checked["put back"] += is_put_back

    def _audit_ticket(self, job: Job, top: str) -> None:
        """A folder of failed/ that was put back is the same job again, unless that runs or is done already."""
        old = self.share.ticket_folders.get(top)
        events = self.store.events_of(job.id)
        if old in (None, job.id) or events[0].state is JobState.FAILED or old not in self.jobs:
            return
        before = [event.state for event in self.store.events_of(old) if event.seq < events[0].seq]
        assert before[-1] in (JobState.DONE, *ALIVE), f"{old} was put back, and became {job.id}"

    def _audit_job(self, job: Job) -> None:
        told = f"{job.folder}/{job.name} ({job.state}, {job.error_code} {job.error_message})"
        assert self._is_explained(job), f"nobody asked for {told}"
        self._audit_attempts(job)
        if job.state not in ENDED:
            assert self.world.studio.is_on_strike, f"P4: {told} rests"
            return
        assert job.state in self._expected(job), f"{told} should be {self._expected(job)}"
        assert job.claim_dir is None, f"P4: {told} was never put away"
        if job.state is JobState.DONE:
            self._audit_film(job, told)
        elif job.row is None or job.inputs:
            self._audit_failure(job, told)

    def _expected(self, job: Job) -> set[JobState]:
        """How a job may end."""
        ends = set()
        qualities = {goods.quality_of(self.share.contents[file.sha256]) for file in job.inputs}
        if {job.video, job.audio} & {None}:
            is_manifest = job.video is None and job.audio is None
            if is_manifest or (self.judge.is_late and job.error_code == "E102"):
                ends.add(JobState.FAILED)
        elif qualities == {goods.GOOD}:
            ends.add(JobState.DONE)
        elif job.error_code in {goods.REFUSED[quality] for quality in qualities - {goods.GOOD}}:
            ends.add(JobState.FAILED)
        if self.judge.is_late and job.error_code == "E102":
            ends.add(JobState.FAILED)
        if self.world.studio.deaths[job.id] >= MAX_DEATHS:
            ends.add(JobState.FAILED)
        if self.judge.wishes(job) & self.judge.cancelled:
            ends.add(JobState.CANCELLED)
        return ends

    def _audit_film(self, job: Job, told: str) -> None:
        assert job.published_name, f"P3: {told} has no name"
        assert is_version_of(film_stem(job.name), job.published_name), f"{told} is called {job.published_name}"
        film = goods.film_bytes(job.video.sha256, job.audio.sha256, job.options.crf)
        path = "/".join((*mirrored(job.folder), job.published_name))
        there = self.share.films().get(path)
        is_taken = self.share.removed[film] > 0
        assert there == film or is_taken, f"P3: {told}: {path} is {there!r} and not {film!r}"
        self._audit_version(job, path)
        self.judge.checked["done"] += 1

    def _audit_version(self, job: Job, path: str) -> None:
        """A crash never makes `.v3`: there are never more versions than jobs and foreign files that want the name."""
        stem = film_stem(job.name)
        number = int(Path(path).stem.removeprefix(stem).removeprefix(".v") or 1)
        rivals = [(one.folder, model.key_of(film_stem(one.name) + ".mp4")) for one in self.jobs.values()]
        wanting = rivals.count((job.folder, model.key_of(stem + ".mp4")))
        assert number <= wanting + self.share.foreign_count, f"{path}: {number} versions for {wanting} jobs"

    def _audit_failure(self, job: Job, told: str) -> None:
        """P4: it lies in failed/ with its reason, unless people have taken it from there (or from processing/)."""
        ids = self.judge.wishes(job)
        names = [name for name in self.share.known_failed if name.rpartition("__")[2][:8] in ids]
        assert names or ids & self.judge.cancelled, f"P4: {told} lies nowhere"
        assert len(names) <= 1 + self.share.put_back_count, f"P4: {told} lies in {names}"

    def _is_explained(self, job: Job) -> bool:
        """Somebody has put these files together in one of the ways that there are."""
        lain = [self.share.lain.get(file.sha256, set()) for file in job.inputs]
        if job.row is not None:
            return self._is_wanted_by_row(job, lain)
        if len(lain) < 2:
            return True
        return any(
            self._is_pair(job, video, audio) or self._is_folder(job, video, audio)
            for video in lain[0]
            for audio in lain[1]
            if video[0] == audio[0]
        )

    def _is_pair(self, job: Job, video: model.Place, audio: model.Place) -> bool:
        keys = {model.key_of(video[1]), model.key_of(audio[1])}
        if len(keys) == 1 or model.key_of(video[1]) == model.DEFAULT:
            named_by = audio
        elif model.key_of(audio[1]) == model.DEFAULT:
            named_by = video
        else:
            return False
        is_named = job.name == model.stem_of(named_by[1]) or self._has_been_put_back(job)
        return is_named and (job.folder == video[0] or self._has_been_put_back(job))

    def _is_folder(self, job: Job, video: model.Place, audio: model.Place) -> bool:
        if self._has_been_put_back(job):
            return True
        parent, _, name = video[0].rpartition("/")
        if job.folder != parent:
            return False
        if video[0] in self.share.ticket_folders:
            self._audit_ticket(job, video[0])
            return True
        return name.casefold().endswith(".job") and job.name == name[: -len(".job")]

    def _has_been_put_back(self, job: Job) -> bool:
        events = self.store.events_of(job.id)
        ended = (JobState.FAILED, JobState.CANCELLED)
        return any(now.state is JobState.QUEUED and before.state in ended for before, now in pairwise(events))

    def _is_wanted_by_row(self, job: Job, lain: list[set[model.Place]]) -> bool:
        rows = self.judge.batches.get(job.row.batch)
        if rows is None:
            return False
        if not rows:  # a job folder: all of its members lay in one
            folders = [{folder for folder, _ in places} for places in lain]
            return not folders or bool(set.intersection(*folders))
        row = rows.get(job.row.number)
        if row is None or (job.folder, job.name) != row.film:
            return False
        wanted = dict(zip(("video", "audio"), row.members, strict=True))
        found = {"video": job.video, "audio": job.audio}
        return all(
            file is None or wanted[role] in self.share.lain[file.sha256] or "known by its id" in file.evidence
            for role, file in found.items()
        )

    def _audit_inbox(self) -> None:
        """Nothing is left that is a job."""
        inbox = self.judge.reading()
        found = self.world.daemon.desks[0].findings
        assert not inbox.claimable(), f"P4: left in the inbox: {inbox.claimable()}; told: {found}"
        explained = {(group.folder, name) for group in found.waiting for name in group.names}
        for group in found.waiting:
            top = model.join(group.folder, group.names[0].rstrip("/"))
            explained |= {(top, name) for name in group.names[1:]}
        for place in inbox.files:
            is_below_top = any(place[0].startswith(f"{top}/") for top in inbox.tops)
            is_input = model.kind_of(place[1]) or model.is_manifest(place[1])
            needs_reason = model.key_of(place[1]) != model.DEFAULT and place not in inbox.reserved and not is_below_top
            if is_input and needs_reason:
                assert place in explained, f"P4: {place} waits without a reason; told: {found.waiting}"
                self.judge.checked["waiting"] += 1

        self._audit_configs()

    def _audit_configs(self) -> None:
        """A wrong `.heygemd.toml` is explained beside it, and nothing else is."""
        files = dict(self.share.files("inbox"))
        wrong = {path.rpartition("/")[0] for path, text in files.items() if path.endswith(".toml") and b"yy" in text}
        told = {path.rpartition("/")[0] for path in files if path.endswith("CONFIG-ERROR.txt")}
        assert wrong == told, f"wrong settings in {wrong} are explained in {told}"
        self.judge.checked["configs"] += len(wrong)

    def _audit_share(self) -> None:
        """No folder is left in processing/ but those of manifests that wait, and nothing half written anywhere."""
        kept = self.world.kept
        parts = [path for path in kept.rglob("*.part") if path.parts[len(kept.parts)] != "inbox"]
        assert parts == [], f"P2: left behind: {parts}"
        if self.world.studio.is_on_strike:
            return
        open_ = self.world.daemon.batches._accounts
        waiting = {account.batch.claim_dir.name for account in open_.values()}
        left = {path.name for path in (kept / "processing").iterdir()} - waiting
        assert left == set(), f"P4: left in processing/: {left}"
        assert list((kept / ".heygemd/claims").iterdir()) == [], "a claim was never ended"
        records = {path.stem for path in (kept / ".heygemd/batches").iterdir()}
        assert records == set(open_), "a batch was never ended"
        inbox = self.judge.reading()
        for batch_id, account in open_.items():
            if self.judge.batches.get(batch_id):
                self._audit_open_batch(batch_id, inbox)
            else:
                self._audit_open_folder(account.batch)

    def _audit_open_folder(self, batch: Batch) -> None:
        """A job folder is open because people have taken a file out of it, and for no other reason."""
        known = self.store.rows_of_batch(batch.id)
        pending = [row for row in batch.good_rows if row.number not in known]
        assert pending, f"P4: {batch.name} waits for nothing"
        for row in pending:
            lacks = [file.path for file in row.members if not (batch.claim_dir / file.path).exists()]
            assert lacks and id8_of(batch.id) in self.judge.cancelled, (
                f"P4: row {row.number} of {batch.name} could be made"
            )
        self.judge.checked["pending"] += len(pending)

    def _audit_open_batch(self, batch_id: str, inbox: model.Inbox) -> None:
        """It is open because a row lacks a file, and for no other reason."""
        known = self.store.rows_of_batch(batch_id)
        pending = [row for row in self.judge.batches.get(batch_id, {}).values() if row.number not in known]
        assert pending, f"P4: batch {batch_id} waits for nothing"
        for row in pending:
            lacks = [place for place in row.members if place not in inbox.files or place in inbox.held]
            assert lacks, f"P4: row {row.number} of {batch_id} could be made"
        self.judge.checked["pending"] += len(pending)

    def _audit_copies(self) -> None:
        """P4: every input lies in exactly one place; a failed job hands back copies of those that it shared."""
        extra = self.share.inputs() - self.share.owed
        returned = Counter({content: count for content, count in extra.items() if content in self.share.lent})
        assert extra == returned, f"P4: inputs lie in two places: {self.share.named(extra - returned)}"

    def _audit_done(self) -> None:
        """P1: what was put away was used. (What lay in a job folder goes with it, and rows may be given up.)"""
        self.share.used |= {file.sha256 for job in self.jobs.values() for file in job.inputs}
        if self.judge.is_late:
            return
        for path, content in self.share.files("done"):
            folders = {folder for folder, _ in self.share.lain.get(goods.sha256(content), ())}
            is_beside = any(".job" in folder or folder in self.share.ticket_folders for folder in folders)
            if model.kind_of(path.rpartition("/")[2]) and not is_beside:
                assert goods.sha256(content) in self.share.used, f"P1: {path} was put away, and no film made of it"

    def _audit_work(self) -> None:
        """Nothing is computed twice, and nothing is kept of what has ended."""
        studio = self.world.studio
        for film, count in studio.films.items():
            excuses = 1 + self.share.removed[film] + len(self.judge.cancelled)
            assert count <= excuses, f"{film!r} was made {count} times"
        for (job_id, index), count in studio.segments.items():
            put_back = sum(event.state is JobState.FAILED or event.state is JobState.CANCELLED
                           for event in self.store.events_of(job_id))  # fmt: skip
            assert count <= 1 + put_back, f"P5: segment {index} of {job_id} was rendered {count} times"
        if not studio.is_on_strike:
            assert list((self.world.state_dir / "work").iterdir()) == [], "work is left of a job that has ended"

    def _audit_status(self) -> None:
        told = json.loads((self.world.kept / "status/status.json").read_text())
        counts = Counter(job.state.value for job in self.jobs.values())
        assert {state: told["counts"][state] for state in counts} == counts, f"the status tells {told['counts']}"
