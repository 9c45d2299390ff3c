"""The real inbox of a root, within this process, on strangers' texts: manifests, settings, tickets and records.

Each execution is a text in a folder of its own, with media beside it. An inbox that raises would be the end of a desk;
one that is paused or changes a file that it was given breaks a promise. The inbox is started anew half-way, so what
it has written down itself is read again.
"""

import csv
import io
import json
import shutil
import time
import traceback
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from heygemd.intake.batchrecord import to_bytes
from heygemd.intake.disk import Disk
from heygemd.intake.record import write_record
from heygemd.intake.roots import init_root
from heygemd.intake.trust import is_plain
from heygemd.jobs.batch import Batch, BatchKind, Row, Wanted
from heygemd.jobs.ids import id8_of, new_job_id
from heygemd.jobs.job import Job
from heygemd.jobs.states import JobState
from heygemd.outbox import batchreport, names
from heygemd.settings import IntakeSettings
from tests.fuzz.outcome import Ending, Outcome, Tally
from tests.fuzz.texts import mutated_json, mutated_text
from tests.intake.claims_rig import audio, record_of, submission, video
from tests.intake.conftest import Rig

TICKET, SETTINGS = "back/error.json", ".heygemd.toml"
GOOD = {
    "m.heygem.json": b'{"heygem": 1, "strict": false, "defaults": {"video": "a.mp4", "options": {"crf": 18}},\n'
    b' "jobs": [{"id": "x", "audio": "lines/*.wav", "output": "films/{stem}.mp4"},\n'
    b'{"audio": "b.wav", "priority": 3}]}',
    "m.heygem.yaml": b"heygem: 1\nstrict: false\ndefaults: {video: a.mp4}\n"
    b"jobs:\n  - id: x\n    audio: 'b.wav'\n    options:\n      length: loop\n  - {audio: lines/1.wav}\n",
    "m.heygem.csv": b'# strict: false\nid,video,audio,crf,output\nx,a.mp4,"b.wav",18,\ny,a.mp4,lines/[12].wav,,y.mp4\n',
    "m.heygem.jsonl": b'{"heygem": 1, "bundle": true}\n{"video": "a.mp4", "audio": "b.wav"}\n'
    b'{"id": "z", "video": "a.mp4", "audio": "lines/*.wav"}\n',
    SETTINGS: b'priority = 5\nconcurrency = 2\nkeep_days = 7\nsettle_s = 0.5\n[options]\ncrf = 16\nlength = "loop"\n',
    "take.job/job.toml": b'priority = 5\nkeep_days = 7\n[options]\nengine = "passthrough"\ncrf = 16\n',
    TICKET: b'{"heygemd_report": 1, "job": "20250131T080000000-abcdefgh23", "name": "anna", "state": "failed",'
    b' "error": {"code": "E110", "message": "cut"}, "finished_at": "2025-01-31T08:00:00Z"}',
}
"""Where it lies in its folder: what it says when nothing is wrong with it."""
MEDIA = ("a.mp4", "b.wav", "lines/1.wav", "lines/2.wav", "take.job/p.mp4", "take.job/p.wav", "back/q.mp4", "back/q.wav")
RECORDS = ("claim record", "batch record")
TOGETHER = 8
"""Texts that one root gets at once."""
LOOKS = 7
MAX_LOOK_S = 10.0
"""Processor time of one look at so few files."""
FORMULA_STARTS = "=+-@\t\r"


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """One input."""

    label: str
    kind: str
    """A key of GOOD, or one of RECORDS."""
    luck_seed: str
    data: bytes
    """Of a record: nothing. It tells of its root, so it is made there."""


def texts(seed: str) -> Iterator[Text]:
    """Inputs without end; the same for the same seed."""
    kinds = (*GOOD, *RECORDS)
    number = 0
    while True:
        luck = Random(f"{seed}/{number}")
        kind = kinds[number % len(kinds)]
        data = mutated_text(GOOD[kind], GOOD[luck.choice(list(GOOD))], luck) if kind in GOOD else b""
        if kind.endswith("json") and luck.random() < 0.3:
            data = mutated_json(GOOD[kind], luck)
        yield Text(
            label=f"{seed}-{number}-{Path(kind).name}", kind=kind, luck_seed=f"{seed}/{number}/record", data=data
        )
        number += 1


@dataclass(slots=True)
class Desk:
    """One root that lives as long as its texts."""

    folder: Path
    rig: Rig = field(init=False)
    given: Counter[bytes] = field(default_factory=Counter)
    """What strangers have dropped, by content."""
    written: dict[str, bytes] = field(default_factory=dict)
    """The very text of each input, by label."""

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True)
        settings = IntakeSettings(reserve_mib=0, settle_s=0.1, settle_unsure_s=0.1, settle_scans=2, orphan_timeout_s=30)
        self.rig = Rig(init_root(self.folder / "root"), settings=settings)

    def drop(self, text: Text, folder: str) -> None:
        """Put a text and media into a folder."""
        for name in (*MEDIA, *(["b.mp4"] if text.kind == SETTINGS else [])):
            if "/" not in name or name.split("/")[0] in (text.kind.split("/")[0], "lines"):
                self._put(f"{folder}/{name}", f"{text.label} {name}".encode())
        if text.kind in GOOD:
            self._put(f"{folder}/{text.kind}", text.data)
            self.given[text.data] -= text.kind == TICKET  # ours, and removed when the job is taken up again
            self.written[text.label] = text.data
        else:
            self.written[text.label] = self._forge(text, folder)

    def _put(self, name: str, content: bytes) -> None:
        self.rig.drop(name, content)
        self.given[content] += 1

    def _forge(self, text: Text, folder: str) -> bytes:
        """Write a record that is nearly one of ours."""
        root, luck = self.rig.root, Random(text.luck_seed)
        job_id = new_job_id(self.rig.wall())
        if text.kind == "claim record":
            pair = (video("a.mp4", folder), audio("b.wav", folder))
            record = record_of(submission(*pair, film_folder=folder, film_name="b"), root)
            write_record(Disk(), root, record)
            place = root.claims / f"{record.job_id}.json"
            good = place.read_bytes().replace(record.job_id.encode(), job_id.encode())
            good = good.replace(id8_of(record.job_id).encode(), id8_of(job_id).encode())
            place.unlink()
            place = root.claims / f"{job_id}.json"
        else:
            good, place = to_bytes(_batch(self.rig, job_id, folder)), root.batches / f"{job_id}.json"
        data = mutated_json(good, luck)
        place.write_bytes(data)
        return data

    def run(self) -> None:
        """Look until everything has come to rest, with a new process half-way; raises what the inbox raises."""
        for number in range(2 * LOOKS):
            if number == LOOKS:
                self.rig.restart()
            began_s = time.process_time()
            findings = self.rig.look()
            took_s = time.process_time() - began_s
            assert took_s < MAX_LOOK_S, f"a look took {took_s:.0f} s"
            assert findings.offline is None, f"taken for a lost share: {findings.offline}"
            self.rig.store(findings)
        assert findings.paused is None, f"paused: {findings.paused}"

    def check(self) -> None:
        """Raise AssertionError when a promise is broken."""
        left = Counter(self.rig.files().values()) + Counter(
            path.read_bytes() for path in self.rig.root.shared.iterdir() if path.is_file()
        )
        lost = [content for content, count in self.given.items() if left[content] < count]
        assert not lost, f"changed or gone: {lost[:2]}"
        for job in self.rig.stored.values():
            _check_job(job)
        for batch in self.rig.batches.values():
            _check_report(batch, {job.row.number: job for job in self.rig.stored.values() if _is_of(job, batch)})

    def close(self) -> None:
        """Remove the root."""
        shutil.rmtree(self.folder)

    def ending_of(self, text: Text, folder: str) -> Outcome:
        """What became of a text."""
        jobs = [job for job in self.rig.stored.values() if job.folder.split("/")[0] == folder]
        codes = sorted({job.error_code for job in jobs if job.error_code})
        is_used = any(job.state is JobState.QUEUED for job in jobs)
        code = " ".join(codes) if codes else "" if is_used else "waits"
        return Outcome(ending=Ending.USED if is_used else Ending.REFUSED, code=code)


def execute(folder: Path, batch: list[Text], tally: Tally) -> None:
    """Give some texts to a root at once; when that goes wrong each is given alone, to know which it was."""
    broken = _attempt(folder, batch, tally)
    if broken is None:
        return
    before = len(tally.harm)
    if len(batch) > 1:
        for text in batch:
            execute(folder, [text], tally)
    if len(batch) == 1 or len(tally.harm) == before:
        data = b"\n--------\n".join(text.data for text in batch)
        tally.note(batch[0].label, data, broken)


def _attempt(folder: Path, batch: list[Text], tally: Tally) -> Outcome | None:
    """Count the texts and return nothing, or what went wrong."""
    desk = Desk(folder / "desk")
    try:
        for number, text in enumerate(batch):
            desk.drop(text, f"e{number}")
        desk.run()
        desk.check()
    except AssertionError as error:
        return Outcome(ending=Ending.FAULT, reason=f"{error} {list(desk.written.values())[-1][:300]!r}")
    except Exception as error:  # noqa: BLE001  # whatever it is: that is what is looked for
        trace = traceback.extract_tb(error.__traceback__)[-1]
        where = f"({Path(trace.filename).name}:{trace.lineno})"
        return Outcome(ending=Ending.DEATH, reason=f"{type(error).__name__}: {error} {where}")
    finally:
        desk.close()
    for number, text in enumerate(batch):
        tally.note(text.label, desk.written[text.label], desk.ending_of(text, f"e{number}"))
    return None


def _batch(rig: Rig, batch_id: str, folder: str) -> Batch:
    rows = tuple(
        Row(number=number, row_id=row_id, video=Wanted(path=f"{folder}/a.mp4"), audio=Wanted(path=f"{folder}/{sound}"),
            film_folder=folder, film_name=row_id)
        for number, (row_id, sound) in enumerate((("one", "b.wav"), ("two", "lines/1.wav")), 1)
    )  # fmt: skip
    return Batch(
        id=batch_id, root=rig.root.uuid, kind=BatchKind.MANIFEST, name="m", folder=folder, accepted_at=rig.wall(),
        claim_dir=rig.root.processing / f"m__{id8_of(batch_id)}", rows=rows,
    )  # fmt: skip


def _is_of(job: Job, batch: Batch) -> bool:
    return job.row is not None and job.row.batch == batch.id


def _check_job(job: Job) -> None:
    assert is_plain(job.name), f"name {job.name!r}"
    assert all(is_plain(part) for part in job.folder.split("/") if job.folder), f"folder {job.folder!r}"
    assert job.error_message is None or job.error_message.isprintable(), f"message {job.error_message!r}"
    for part in (*names.mirrored(job.folder), names.film_name(job.name)):
        assert is_plain(part), f"{part!r} in the outbox"
        assert len(part.encode()) <= 255, f"{part!r} is too long"


def _check_report(batch: Batch, jobs: dict[int, Job]) -> None:
    report = batchreport.batch_report(batch, jobs, written_at=batch.accepted_at)
    assert len(json.loads(batchreport.to_json(report))["rows"]) == len(batch.rows)
    text = batchreport.to_csv(report)
    assert text.count("\n") == text.count("\r\n") == len(batch.rows) + 1, "a line break within a row"
    header, *rows = csv.reader(io.StringIO(text))
    assert all(len(row) == len(header) for row in rows), "cells slipped"
    cells = [cell for row in rows for cell in row]
    assert not any(cell.startswith(tuple(FORMULA_STARTS)) and not cell.isdigit() for cell in cells), "a formula"
