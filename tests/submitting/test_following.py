"""How the films of an order are waited for."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from heygemd.errors import FaultError, InputError
from heygemd.submitting.following import follow, known_batches
from heygemd.submitting.writing import target_of

# Waiting for the films ----------------------------------------------------------------------------------------------


class Share:
    """What a daemon would write, one state each time somebody waits."""

    def __init__(self, root, *steps):
        self.root, self.steps, self.now_s = root, list(steps), 0.0
        self.place = root.status / "manifests"
        self.place.mkdir()

    def clock(self):
        return self.now_s

    def pause(self, seconds):
        self.now_s += seconds
        assert self.now_s < 1000, "waits for ever"
        if self.steps:
            self.steps.pop(0)()

    def tell(self, name="day", batch="b2", *, complete=False, file="day", **more):
        told = {"heygemd_batch_report": 1, "batch": batch, "complete": complete, "name": name, "folder": "", "rows": []}
        (self.place / f"{file}.report.json").write_text(json.dumps(told | more))

    def follow(self, **how):
        return follow(target_of(self.root, "", []), "day", clock=self.clock, pause=self.pause, **how)


def test_it_follows_until_the_batch_is_complete(root):
    share = Share(root)
    share.steps = [lambda: share.tell(rows=[{"job": "j1"}]), lambda: share.tell(complete=True, rows=[{"job": "j1"}])]
    running = [{"job": "j1", "stage": "render"}, {"job": "other"}]
    status = {"written_at": datetime.now(UTC).isoformat(), "running": running}
    (root.status / "status.json").write_text(json.dumps(status))
    (root.inbox / "day.heygem.json").write_text("{}")
    sights = []
    assert share.follow(on_sight=sights.append)["rows"] == [{"job": "j1"}]
    assert [sight.report is None for sight in sights] == [True, False, False]
    assert [one["job"] for one in sights[1].running] == ["j1"]
    assert all(sight.is_served for sight in sights)


def test_an_earlier_batch_of_the_name_is_not_taken_for_this_one(root):
    share = Share(root)
    share.tell(batch="b1", complete=True)
    before = known_batches(target_of(root, "", []), "day")
    assert before == {"b1"}
    share.steps = [
        lambda: share.tell(batch="b2", file="day__aaaaaaaa", complete=False),
        lambda: share.tell(batch="b2", file="day__aaaaaaaa", complete=True),
    ]
    assert share.follow(but=before)["batch"] == "b2"


def test_a_manifest_that_was_refused_ends_the_wait_with_its_reason(root):
    share = Share(root)
    folder = root.failed / "day__aaaaaaaa"
    folder.mkdir()
    (folder / "day.heygem.json").write_text("{")
    (folder / "error.json").write_text(json.dumps({"error": {"code": "E121", "message": "line 1"}}))
    with pytest.raises(InputError, match="line 1") as caught:
        share.follow()
    assert caught.value.code == "E121"


def test_a_manifest_that_is_gone_without_a_trace_is_not_waited_for_for_ever(root):
    share = Share(root)
    (root.status / "status.json").write_text(json.dumps({"written_at": datetime.now(UTC).isoformat()}))
    with pytest.raises(FaultError, match="left the inbox"):
        share.follow()
    assert 60 < share.now_s < 70


def test_a_root_that_nobody_serves_is_said(root):
    share = Share(root)
    (root.inbox / "day.heygem.json").write_text("{}")
    old = datetime.now(UTC) - timedelta(seconds=90)
    (root.status / "status.json").write_text(json.dumps({"written_at": old.isoformat()}))
    share.steps = [lambda: share.tell(complete=True)]
    sights = []
    share.follow(on_sight=sights.append)
    assert not any(sight.is_served for sight in sights)


@pytest.mark.parametrize("text", ["", "[]", "{", "null", '{"rows": 5}', "[" * 10_000])
def test_what_people_spoilt_on_the_share_does_no_harm(root, text):
    share = Share(root)
    (root.inbox / "day.heygem.json").write_text("{}")
    (root.status / "status.json").write_text(text)
    (share.place / "day.report.json").write_text(text)
    share.steps = [lambda: share.tell(complete=True)]
    assert share.follow()["batch"] == "b2"
