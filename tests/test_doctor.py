from dataclasses import replace

import pytest

from heygemd import doctor
from heygemd.doctor import Finding, examine
from heygemd.intake.roots import init_root
from heygemd.media.ffmpeg import require_tools
from heygemd.scheduler.devices import Device, Holder
from heygemd.scheduler.machine import Machine
from heygemd.settings import RenderSettings, Settings

CPU = Device(index=0, name="CPU with 2 threads", kind="cpu", total_bytes=8 << 30, free_bytes=4 << 30)
GPU = Device(index=0, name="Test GPU", kind="cuda", total_bytes=8 << 30, free_bytes=4 << 30)


@pytest.fixture(autouse=True)
def devices(monkeypatch):
    """What the machine has: a CPU, unless a test adds to it."""
    found = [CPU]
    monkeypatch.setattr(doctor, "find_devices", lambda: tuple(device for device in found if not device.is_lost))
    monkeypatch.setattr(doctor, "find_lost", lambda: tuple(device for device in found if device.is_lost))
    return found


@pytest.fixture
def settings(tmp_path):
    return Settings(state_dir=tmp_path / "state", models_dir=tmp_path / "models")


def by_subject(settings):
    return {finding.subject: finding for finding in examine(settings)}


@pytest.mark.ffmpeg
def test_a_good_setup_is_good_in_every_point(settings, tmp_path):
    root = init_root(tmp_path / "root")
    found = by_subject(settings.model_copy(update={"roots": (root.path,)}))
    assert list(found) == [
        "python", "ffmpeg", "device", "device cpu", "engine", "state directory",
        f"root {root.path}", f"writers in {root.path}",
    ]  # fmt: skip
    assert [finding for finding in found.values() if not finding.is_good or finding.code] == []
    assert found["device"].message == CPU.name
    assert found["engine"].message == "atlas"
    assert str(settings.state_dir) in found["state directory"].message


def test_a_missing_ffmpeg_is_found_and_the_other_checks_go_on(settings, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    require_tools.cache_clear()
    try:
        found = by_subject(settings)
    finally:
        require_tools.cache_clear()
    assert (found["ffmpeg"].is_good, found["ffmpeg"].code) == (False, "E403")
    assert "apt-get install ffmpeg" in found["ffmpeg"].message
    assert found["engine"].is_good


def test_a_required_gpu_that_is_absent_is_found(settings, devices):
    settings = settings.model_copy(update={"render": RenderSettings(require_gpu=True)})
    assert by_subject(settings)["device"].code == "E406"
    devices.insert(0, GPU)
    assert by_subject(settings)["device"].is_good


def test_a_card_is_described_with_those_who_hold_its_memory(settings, devices):
    assert "no process on it is known; not throttled" in doctor._card(GPU)
    devices.insert(
        0,
        replace(
            GPU,
            holders=(Holder(4711, 3 << 30), Holder(4712, None)),
            throttle=("hw_thermal_slowdown",),
            temperature_c=93,
        ),
    )
    finding = by_subject(settings)["device cuda:0"]
    assert finding.is_good
    assert finding.message == (
        "Test GPU; 4096 MiB of 8192 MiB free; held by pid 4711 3072 MiB, pid 4712; "
        "throttled: hw_thermal_slowdown; 93 °C"
    )


def test_a_lost_card_is_found_unless_no_card_is_wanted(settings, devices):
    devices.append(Device(index=3, name="GPU is lost", kind="cuda", total_bytes=0, free_bytes=0, is_lost=True))
    finding = by_subject(settings)["device cuda:3"]
    assert (finding.is_good, finding.code) == (False, "E302")
    assert "'GPU is lost'" in finding.message
    settings = settings.model_copy(update={"render": RenderSettings(device="cpu")})
    assert "device cuda:3" not in by_subject(settings)


def test_the_cores_and_the_memory_of_the_cpu_are_told_with_what_limits_them(settings, tmp_path, monkeypatch):
    (tmp_path / "stat").write_text("cpu0 1\ncpu1 1\n")
    (tmp_path / "meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {4 << 20} kB\n")
    monkeypatch.setattr(doctor, "Machine", lambda: Machine(proc=tmp_path, affinity=lambda: 1))
    message = by_subject(settings)["device cpu"].message
    assert message.startswith("1 cores (the machine has 2, but ")
    assert "4096 MiB of 8192 MiB memory available" in message
    assert "affinity allows no more" in message


def test_missing_weights_are_found_with_the_way_out(settings):
    finding = by_subject(settings.model_copy(update={"render": RenderSettings(engine="wav2lip")}))["engine"]
    assert (finding.is_good, finding.code) == (False, "E402")
    assert "models/README.md" in finding.message


def test_a_state_directory_that_cannot_be_made_is_found(settings, tmp_path):
    (tmp_path / "file").write_text("")
    finding = by_subject(settings.model_copy(update={"state_dir": tmp_path / "file" / "state"}))["state directory"]
    assert (finding.is_good, finding.code) == (False, "E401")


def test_a_disk_that_is_nearly_full_is_found(settings, monkeypatch):
    class Usage:
        free = 1000

    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda folder: Usage)
    finding = by_subject(settings)["state directory"]
    assert (finding.is_good, finding.code) == (False, "E202")
    assert "0.0 GB free" in finding.message


def test_each_root_is_looked_at(settings, tmp_path):
    good, plain, absent = init_root(tmp_path / "good").path, tmp_path / "plain", tmp_path / "absent"
    plain.mkdir()
    found = by_subject(settings.model_copy(update={"roots": (good, plain, absent)}))
    assert [found[f"root {path}"].is_good for path in (good, plain, absent)] == [True, False, False]
    assert found[f"root {plain}"].code == "E401"
    assert "init-root" in found[f"root {plain}"].message
    assert not absent.exists()


def test_a_root_named_twice_is_found(settings, tmp_path):
    root = init_root(tmp_path / "root").path
    (tmp_path / "link").symlink_to(root)
    found = examine(settings.model_copy(update={"roots": (root, tmp_path / "link")}))
    assert not all(finding.is_good for finding in found)


def test_a_finding_is_plain_json():
    finding = Finding(subject="device", is_good=False, message="none", code="E406")
    assert finding.as_dict() == {"subject": "device", "is_good": False, "message": "none", "code": "E406"}


@pytest.mark.parametrize(
    ("machine", "words"),
    [((False, True), "network mount"), ((True, True), "CAP_LEASE); a file"), ((True, False), "files of others")],
    ids=["mount", "capability", "none"],
)
def test_it_says_how_surely_writers_are_seen(settings, tmp_path, monkeypatch, machine, words):
    local, capable = machine
    root = init_root(tmp_path / "root")
    monkeypatch.setattr(doctor, "is_local", lambda place: local or place != root.path)
    monkeypatch.setattr(doctor, "may_lease_any", lambda: capable)
    found = by_subject(settings.model_copy(update={"roots": (root.path,)}))
    assert words in found[f"writers in {root.path}"].message


def test_a_state_directory_on_a_network_mount_is_found(settings, monkeypatch):
    monkeypatch.setattr(doctor, "is_local", lambda place: False)
    assert by_subject(settings)["state directory"].code == "E401"
