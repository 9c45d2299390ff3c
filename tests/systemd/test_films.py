"""Films made inside the sandbox of the unit, as the user heygemd, and what the journal tells of them."""

import json
import re
import stat

import pytest

from tests.systemd.installed import SETTINGS, STATE, UNIT, Installed, Pair, boot_installed

pytestmark = [pytest.mark.systemd, pytest.mark.ffmpeg, pytest.mark.slow]

LIFE = ["job.added", "intake.claimed", "job.taken_up", "film.ready", "outbox.published", "job.ended"]
"""Of a job for which everything goes well."""
STRANGER = "daemon"
"""An account that every Debian has, and that is in no group of ours."""
FROM_SYSTEMD = "1"
"""Its pid: systemd writes about the unit, too."""


@pytest.fixture(scope="module")
def studio(tmp_path_factory, repository):
    settings = SETTINGS.replace('engine = "passthrough"', 'engine = "atlas"')
    with boot_installed(tmp_path_factory.mktemp("machine"), repository, settings=settings) as installed:
        yield installed


@pytest.fixture(scope="module")
def made(studio: Installed, pair: Pair) -> Installed:
    """A film for a colleague with an account on the machine, who is in the group and owns what she drops."""
    studio.machine.run("useradd", "--groups", "heygemd", "anna")
    studio.start()
    studio.drop("hello", pair, user="anna")
    studio.wait_for_film("hello")
    return studio


def test_pair_of_a_colleague_becomes_a_film_that_she_can_fetch(made: Installed) -> None:
    film, report = made.path("outbox/hello.mp4"), json.loads(made.path("outbox/hello.mp4.json").read_text())
    assert (report["state"], report["engine"], report["attempts"]) == ("done", "atlas", 1)
    assert report["touched_frames"] > 20, "the mouth was painted"
    owner = int(made.machine.run("id", "--user", "heygemd").stdout)
    assert film.stat().st_uid == owner
    assert stat.S_IMODE(film.stat().st_mode) == 0o660, "for the group, for nobody else"
    copied = made.machine.run("sh", "-c", f"cd {made.root}/outbox && cat hello.mp4 | sha256sum", user="anna").stdout
    assert copied.split()[0] == report["sha256"]
    made.machine.run("sh", "-c", f"cd {made.root} && mv outbox/hello.jpg outbox/seen.jpg && ls done", user="anna")
    assert "Permission denied" in made.machine.run("ls", made.root, user=STRANGER, check=False).stderr


def test_strangers_can_read_the_metrics_and_nothing_else(made: Installed) -> None:
    def read_by_a_stranger(*argv: str) -> bool:
        return made.machine.run(*argv, user=STRANGER, check=False).returncode == 0

    made.machine.wait_for(lambda: read_by_a_stranger("cat", f"{STATE}/metrics/heygemd.prom"), 30)
    for folder in (STATE, "/var/log/heygemd", "/var/cache/heygemd"):
        assert not read_by_a_stranger("ls", folder)
    for file in ("jobs.sqlite", "events.jsonl", "vitals.json"):
        assert made.machine.path(f"{STATE}/{file}").exists()
        assert not read_by_a_stranger("cat", f"{STATE}/{file}")
    assert not read_by_a_stranger("cat", "/var/log/heygemd/debug.jsonl")


def test_journal_tells_the_life_of_the_job(made: Installed) -> None:
    job = made.job_of("hello")
    life = made.events(job=job)
    assert [event for event in life if event in LIFE] == LIFE
    assert life.index("intake.claim_begun") < life.index("job.added")
    states = [entry["HEYGEMD_STATE"] for entry in made.entries("job.moved", job=job)]
    assert states == ["running", "done"]
    done = made.entries("task.done", job=job)
    assert [entry["HEYGEMD_TASK"] for entry in done] == ["analyse", *["render"] * (len(done) - 2), "finish"]
    report = json.loads(made.path("outbox/hello.mp4.json").read_text())
    (ended,) = made.entries("job.ended", job=job)
    assert ended["HEYGEMD_FRAMES"] == str(report["frames"])
    assert ended["HEYGEMD_SHA256"] == report["sha256"]
    assert json.loads(ended["HEYGEMD_WARNINGS"]) == report["warnings"]


def test_fields_are_those_of_the_native_protocol(made: Installed) -> None:
    for entry in made.entries(job=made.job_of("hello")):
        assert entry["_TRANSPORT"] == "journal"
        assert entry["SYSLOG_IDENTIFIER"] == "heygemd"
        assert entry["PRIORITY"] == "6"
        assert re.fullmatch("[0-9a-f]{32}", entry["MESSAGE_ID"])
        assert entry["_SYSTEMD_UNIT"] == UNIT
        assert "\n" not in entry["MESSAGE"]


def test_nothing_of_ours_reaches_the_journal_without_an_event(made: Installed) -> None:
    entries = made.entries()
    assert len(entries) > 20
    bare = [entry["MESSAGE"] for entry in entries if entry["_PID"] != FROM_SYSTEMD and "HEYGEMD_EVENT" not in entry]
    assert bare == []


def test_nothing_was_refused_that_the_film_needed(made: Installed) -> None:
    assert [entry["MESSAGE"] for entry in made.entries() if entry["PRIORITY"] < "6"] == []


def test_journalctl_explains_an_event(made: Installed) -> None:
    said = made.machine.run("journalctl", "-x", f"--unit={UNIT}", "HEYGEMD_EVENT=job.ended").stdout
    explained = [line.removeprefix("░░").strip() for line in said.splitlines() if line.startswith("░░")]
    assert explained, said
    assert explained[0].startswith("Subject: ")
    assert not [line for line in explained if re.search("@[A-Z_]+@", line)], "every field is filled in"
