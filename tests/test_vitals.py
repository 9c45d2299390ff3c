"""The file that tells operators how the daemon stands."""

import os
from dataclasses import fields, is_dataclass, replace
from datetime import UTC, datetime

from heygemd.vitals import VITALS_NAME, Counts, DeviceVitals, RootVitals, Vitals, read_vitals, write_vitals

NOON = datetime(2025, 1, 31, 12, 0, tzinfo=UTC)
VITALS = Vitals(
    written_at=NOON, started_at=NOON, pid=1, host="studio", version="1", status="idle",
    roots=(RootVitals(path="/srv/films", uuid="u", state="online"),),
    devices=(
        DeviceVitals(
            label="cuda:0", name="card", total_bytes=9, free_bytes=8, others_bytes=1, budget_bytes=7, granted_bytes=3,
            held_bytes=2, workers=1, most_workers=2, busy_workers=1, throttle=("hw_slowdown",),
        ),
    ),
    counts=Counts(done=3, failures={"E110": 1}, oldest_queued_s=2.5),
    tally={"retries": 3, "stage_s": {"render": 1.5}},
)  # fmt: skip


def test_what_is_written_is_read_back(tmp_path):
    write_vitals(tmp_path, VITALS)
    assert read_vitals(tmp_path) == VITALS
    assert [file.name for file in tmp_path.iterdir()] == [VITALS_NAME]


def test_what_cannot_be_read_counts_as_nothing(tmp_path):
    assert read_vitals(tmp_path) is None
    for content in (b"", b"{", b'{"schema": 1}', b"\xff" * 9):
        (tmp_path / VITALS_NAME).write_bytes(content)
        assert read_vitals(tmp_path) is None
    (tmp_path / VITALS_NAME).unlink()
    os.mkfifo(tmp_path / VITALS_NAME)  # opening one for reading would wait for ever
    assert read_vitals(tmp_path) is None


def test_no_link_is_followed(tmp_path):
    write_vitals(tmp_path, VITALS)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / VITALS_NAME).symlink_to(tmp_path / VITALS_NAME)
    assert read_vitals(tmp_path / "elsewhere") is None


def test_every_name_carries_its_unit_where_it_has_one():
    numbers = [
        field.name
        for kind in (Vitals, Counts, DeviceVitals, RootVitals)
        if is_dataclass(kind)
        for field in fields(kind)
        if field.type in ("float", "float | None", float, float | None)
    ]
    assert all(name.endswith(("_s", "_hour")) or name == "utilisation" for name in numbers), numbers


def test_names_that_are_no_unicode_do_not_stop_the_telling(tmp_path):
    odd = replace(VITALS, status="\udcff", roots=(RootVitals(path="/srv/\udce9", uuid="u", state="online"),))
    write_vitals(tmp_path, odd)
    assert read_vitals(tmp_path) == odd
