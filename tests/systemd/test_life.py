"""The service from start to stop, as systemd sees it."""

import re
import time

import pytest

from tests.systemd.installed import CONFIG, SETTINGS, STATE, UNIT, Installed

pytestmark = [pytest.mark.systemd, pytest.mark.ffmpeg, pytest.mark.slow]

STARTED = "39f53479d3a045ac8e11786248231fbf"
"""MESSAGE_ID of systemd for a unit that is up (sd-messages.h)."""
WRONG_SETUP = "78"
IDLE_S = 4.0
MOST_WAKE_UPS_PER_S = 4.0
"""Of the daemon, with a look at the inbox every second, as the tests' configuration wants it; on an idle machine 2."""


@pytest.fixture(scope="module")
def running(studio: Installed) -> Installed:
    studio.start()
    return studio


def test_ready_comes_after_all_checks(running: Installed) -> None:
    at = {str(entry.get("HEYGEMD_EVENT")): int(entry["__MONOTONIC_TIMESTAMP"]) for entry in running.entries()}
    (ready,) = running.machine.journal(f"MESSAGE_ID={STARTED}", f"UNIT={UNIT}")
    assert at["device.selected"] < at["daemon.started"] < int(ready["__MONOTONIC_TIMESTAMP"])
    assert running.machine.path(f"{STATE}/jobs.sqlite").exists()


def test_status_says_how_it_stands(running: Installed) -> None:
    running.machine.wait_for(lambda: "idle" in running.show()["StatusText"], 20)
    said = running.machine.systemctl("status", UNIT)
    assert "active (running)" in said
    assert re.search(r'Status: "idle; 0 films done since start"', said)


def test_processes_are_nobody_in_particular(running: Installed) -> None:
    machine = running.machine
    user = machine.run("id", "--user", "heygemd").stdout.strip()
    groups = sorted(machine.run("id", "--groups", "heygemd").stdout.split())
    assert machine.run("getent", "group", "video").stdout.split(":")[2] in groups
    pids = running.processes()
    assert len(pids) >= 3, "the daemon, its fork server and the desk of the root"
    for pid in pids:
        facts = dict(
            line.split(":\t", 1)
            for line in machine.path(f"/proc/{pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        assert set(facts["Uid"].split()) == {user}
        assert sorted(facts["Groups"].split()) == groups
        rights = {int(facts[name], 16) for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")}
        assert (rights, facts["NoNewPrivs"], facts["Seccomp"]) == ({0}, "1", "2")


def test_reload_takes_a_right_configuration(running: Installed) -> None:
    daemon, since = running.main_pid(), running.now_us()
    running.configure(SETTINGS.replace("settle_s = 0.3", "settle_s = 0.4"))
    running.machine.systemctl("reload", UNIT)
    (reloaded,) = running.machine.wait_for(lambda: running.entries("config.reloaded", since_us=since), 20)
    assert reloaded["HEYGEMD_CHANGED"] == '["intake.settle_s"]'
    assert (running.main_pid(), running.show()["ActiveState"]) == (daemon, "active")


def test_reload_refuses_a_wrong_configuration_and_goes_on(running: Installed) -> None:
    daemon, since = running.main_pid(), running.now_us()
    running.configure(SETTINGS.replace("settle_s", "settle_sec"))
    running.machine.systemctl("reload", UNIT)
    (refused,) = running.machine.wait_for(lambda: running.entries("config.refused", since_us=since), 20)
    assert (refused["HEYGEMD_ERROR_CODE"], refused["PRIORITY"]) == ("E401", "3")
    assert "settle_sec" in refused["MESSAGE"]
    assert "settle_s?" in refused["HEYGEMD_REASON"], "the nearest right one is named"
    assert refused["HEYGEMD_ADVICE"]
    assert refused["HEYGEMD_ADVICE_ZH"]
    explained = running.machine.run("journalctl", "-x", "HEYGEMD_EVENT=config.refused").stdout
    assert f"░░ What to do: {refused['HEYGEMD_ADVICE']}" in explained.splitlines()
    running.machine.wait_for(lambda: "refused" in running.show()["StatusText"], 20)
    assert (running.main_pid(), running.show()["ActiveState"]) == (daemon, "active")
    running.configure(SETTINGS)
    running.machine.systemctl("reload", UNIT)
    running.machine.wait_for(lambda: running.show()["StatusText"] == "configuration reloaded", 20)


def test_idle_daemon_opens_nothing_and_hardly_wakes_up(running: Installed) -> None:
    machine, daemon = running.machine, running.main_pid()

    def at_rest() -> bool:
        """Nothing was started or ended for a second."""
        before = running.processes()
        time.sleep(1)
        return running.processes() == before

    def facts() -> tuple[int, int]:
        status = machine.path(f"/proc/{daemon}/status").read_text()
        switches = re.search(r"^voluntary_ctxt_switches:\t(\d+)", status, re.MULTILINE)
        assert switches is not None
        return len(list(machine.path(f"/proc/{daemon}/fd").iterdir())), int(switches[1])

    machine.wait_for(at_rest, 60)
    opened, switches = facts()
    time.sleep(IDLE_S)  # what is measured is what happens while nothing does
    opened_later, switches_later = facts()
    assert opened_later == opened < 40
    assert (switches_later - switches) / IDLE_S < MOST_WAKE_UPS_PER_S


def test_stop_ends_it_in_order(running: Installed) -> None:
    began_s = time.monotonic()
    running.machine.systemctl("stop", UNIT)
    assert time.monotonic() - began_s < 20
    facts = running.show()
    assert (facts["ActiveState"], facts["Result"], facts["ExecMainStatus"]) == ("inactive", "success", "0")
    assert running.events()[-1] == "daemon.stopped"
    assert running.processes() == []


def refused_start(studio: Installed, settings: str) -> str:
    """Start with a configuration that cannot hold; return what the journal says."""
    since = studio.now_us()
    studio.configure(settings)
    assert studio.machine.run("systemctl", "start", UNIT, check=False).returncode != 0
    facts = studio.show()
    assert (facts["ActiveState"], facts["SubState"], facts["ExecMainStatus"]) == ("failed", "failed", WRONG_SETUP)
    assert facts["NRestarts"] == "0"
    assert studio.processes() == []
    studio.configure(SETTINGS)
    studio.machine.systemctl("reset-failed", UNIT)
    return "\n".join(str(entry["MESSAGE"]) for entry in studio.entries(since_us=since))


def test_wrong_configuration_is_said_and_not_tried_again(studio: Installed) -> None:
    said = refused_start(studio, SETTINGS.replace("crf", "crff").replace("[render]", "[render]\ncrff = 20"))
    assert "E401" in said
    assert CONFIG in said
    assert "crff" in said


def test_required_graphics_card_that_is_not_there_is_said_and_not_tried_again(studio: Installed) -> None:
    if studio.machine.path("/dev/nvidiactl").exists():
        pytest.skip("this machine has a card")
    said = refused_start(studio, SETTINGS.replace("[render]", "[render]\nrequire_gpu = true"))
    assert "require_gpu" in said


def test_crash_loop_ends_in_failed(studio: Installed) -> None:
    studio.start(Type="simple", ExecStart="\nExecStart=/bin/false", RestartSec="100ms")
    studio.machine.wait_for(lambda: studio.show()["SubState"] == "failed", 20)
    facts = studio.show()
    assert (facts["Result"], facts["NRestarts"]) == ("exit-code", "5")
    assert (facts["StartLimitBurst"], facts["StartLimitIntervalUSec"]) == ("5", "15min")
    assert studio.machine.run("systemctl", "start", UNIT, check=False).returncode != 0, "until it is reset"
