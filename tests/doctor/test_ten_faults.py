"""A good set-up, broken in one way at a time: each time one diagnosis, the right one, with the culprit and the fix."""

import copy
import json
import os
import pwd
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from heygemd import places
from heygemd.catalogue import CATALOGUE_FILE
from heygemd.doctor import devices, weights
from heygemd.doctor.examination import examine
from heygemd.doctor.finding import Level
from heygemd.errors import SetupError
from heygemd.intake.roots import init_root
from heygemd.scheduler.fake_nvml import FakeGpu, FakeNvml
from heygemd.settings import load
from tests.doctor.studio import CARD_TORCH, CPU_TORCH, Studio

OLD_FFMPEG = """#!/bin/sh
echo "ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright (c) 2000-2021 the FFmpeg developers"
echo "libavutil      56. 70.100 / 56. 70.100"
"""
FFMPEG_WITHOUT_X264 = """#!/bin/sh
{ffmpeg} "$@" | grep -v libx264
"""


# Each breaks the studio and returns: code, words of the message, words of the fix ---------------------------------


def no_ffmpeg(studio, monkeypatch):
    studio.forget_stand_ins()
    studio.with_around(search_path=str(studio.programs))
    return "E403", "ffmpeg and ffprobe is not in PATH", "apt-get install ffmpeg"


def an_old_ffmpeg(studio, monkeypatch):
    program = studio.program("ffmpeg", OLD_FFMPEG)
    return "E403", f"{program} is version 4.4.2", f"then remove {program}"


def an_ffmpeg_without_x264(studio, monkeypatch):
    studio.forget_stand_ins()
    program = studio.program("ffmpeg", FFMPEG_WITHOUT_X264.format(ffmpeg=shutil.which("ffmpeg")))
    return "E403", f"{program} (5", "encoder libx264", "apt-get install ffmpeg"


def an_unmounted_share(studio, monkeypatch):
    place = studio.root.path
    shutil.rmtree(place)
    place.mkdir()
    (studio.folder / "etc/fstab").write_text(f"# shares\n//nas/films\t{place} cifs credentials=/etc/nas 0 0\n")
    return "E201", f"//nas/films on {place}", f"sudo mount {place}"


def an_empty_folder_in_place_of_a_root(studio, monkeypatch):
    place = studio.root.path
    shutil.rmtree(place)
    place.mkdir()
    return "E401", f"{place} is empty", f"init-root {place}"


def a_damaged_sentinel(studio, monkeypatch):
    studio.root.sentinel.write_text('{"uuid": "')
    return "E401", f"{studio.root.sentinel} cannot be used", f"rm {studio.root.sentinel}"


def a_sentinel_of_a_newer_program(studio, monkeypatch):
    studio.root.sentinel.write_text(json.dumps({"uuid": studio.root.uuid, "protocol": 2}))
    return "E401", "made by another heygemd (protocol 2)", f"{studio.root.sentinel}"


def a_copy_of_a_root(studio, monkeypatch):
    copy_ = studio.folder / "copy"
    shutil.copytree(studio.root.path, copy_)
    studio.write_unit(root=f"{studio.root.path} {copy_}")
    studio.shipped.write_text(studio.unit.read_text())
    settings = studio.settings
    studio.settings = lambda: settings().model_copy(update={"roots": (studio.root.path, copy_)})
    return "E401", "the same uuid", "leave one of the two out"


def a_state_directory_on_a_network_mount(studio, monkeypatch):
    studio.with_around(is_local=lambda place: not place.is_relative_to(studio.state))
    return "E401", f"{studio.state} lies on a network mount", "set state_dir to a folder of a local disk"


def a_broken_store(studio, monkeypatch):
    store = studio.state / "jobs.sqlite"
    content = bytearray(store.read_bytes())
    content[4096 * 2 : 4096 * 6] = b"\xa5" * (4096 * 4)
    store.write_bytes(content)
    return "E401", f"{store}", f"mv {store} {store}.damaged"


def a_store_with_one_bad_page(studio, monkeypatch):
    """It opens, and most of it can be read."""
    store = studio.state / "jobs.sqlite"
    db = sqlite3.connect(store)
    (page,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'memory_context'").fetchone()
    db.close()
    content = bytearray(store.read_bytes())
    content[(page - 1) * 4096 + 1 : (page - 1) * 4096 + 3] = (4000).to_bytes(2)  # a free block that is none
    store.write_bytes(content)
    return "E401", f"{store} is damaged", "free space corruption", f"mv {store} {store}.damaged"


def a_metrics_folder_that_is_missing(studio, monkeypatch):
    studio.metrics.rmdir()
    return "E401", f"the folder {studio.metrics} does not exist", f"install -d -o {studio.user} {studio.metrics}"


def a_cut_download(studio, monkeypatch):
    (studio.models / "wav2lip_gan.pth").write_bytes(b"\x80\x02" + bytes(1 << 20))
    return "E409", f"{studio.models}/wav2lip_gan.pth is cut off", f"rm {studio.models}/wav2lip_gan.pth"


def a_web_page_in_place_of_weights(studio, monkeypatch):
    (studio.models / "wav2lip.safetensors").write_text("\n<!DOCTYPE html><title>Sign in</title>")
    return (
        "E409",
        f"{studio.models}/wav2lip.safetensors is no model: a web page came instead of the file (Sign in)",
        f"rm {studio.models}/wav2lip.safetensors",
    )


def engine_without_weights(studio, monkeypatch):
    studio.extra_toml = '[render]\nengine = "wav2lip"\n'
    return "E402", f"{studio.models} holds no usable Wav2Lip weights", f"put the weights into {studio.models}"


def a_shipped_net_that_was_changed(studio, monkeypatch):
    package = studio.made("package")
    for model in weights.catalogue.models():
        if model.shipped:
            (package / model.file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(CATALOGUE_FILE.parent / model.file, package / model.file)
    file = package / "render/faces/weights/lips40.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    monkeypatch.setattr(weights, "CATALOGUE_FILE", package / "catalog.toml")
    return "E409", f"{file} is as long as the listed file, but not the same", "install heygemd again"


def a_driver_too_old_for_torch(studio, monkeypatch):
    studio.with_card(driver_version="470.256.02", cuda_version=11040)
    return "E406", "built for CUDA 12.6, but driver 470.256.02 serves only CUDA 11.4", "525.60 or newer"


def a_torch_for_the_cpu_beside_a_card(studio, monkeypatch):
    studio.with_card(torch=CPU_TORCH)
    return "E406", "2.9.0+cpu was built for the CPU alone", "pip install --force-reinstall torch==2.9.0"


def a_card_too_old_for_torch(studio, monkeypatch):
    studio.with_card()
    studio.with_around(nvml=FakeNvml((FakeGpu(name="GTX 1080", capability=(6, 1)),)))
    return "E406", "no code for GTX 1080 (6.1; built for sm_75", "compute capability 6.1"


def a_lost_card(studio, monkeypatch):
    studio.with_card()
    studio.with_around(nvml=FakeNvml((FakeGpu(), FakeGpu(is_lost=True))))
    return "E302", "lost: the driver says 'GPU is lost'", "sudo reboot"


def a_driver_that_was_upgraded(studio, monkeypatch):
    studio.with_card(is_upgraded=True, torch=CPU_TORCH)
    return "E406", "upgraded, and the old one is still loaded", "sudo reboot"


def a_driver_that_hangs(studio, monkeypatch):
    studio.with_card()
    studio.nvml.hang()
    monkeypatch.setattr(devices, "NVML_LIMIT_S", 0.2)
    return "E302", "the NVIDIA driver does not answer", "sudo reboot"


def no_uvm(studio, monkeypatch):
    studio.with_card()
    (studio.folder / "dev/nvidia-uvm").unlink()
    return "E406", f"{studio.folder}/dev/nvidia-uvm is missing", "modprobe nvidia-uvm"


def a_sum_that_fails_on_the_card(studio, monkeypatch):
    torch = copy.deepcopy(CARD_TORCH)
    torch["torch"]["devices"][0]["error"] = "CUDA error: an illegal memory access was encountered"
    studio.with_card(torch=torch)
    return "E302", "an illegal memory access", "dmesg"


def a_library_that_cannot_be_loaded(studio, monkeypatch):
    error = "libGL.so.1: cannot open shared object file: No such file or directory"
    studio.torch = {**CPU_TORCH, "libraries": {"cv2": {"error": error}}}
    return "E401", error, "apt-get install libgl1"


def too_few_watches(studio, monkeypatch):
    (studio.root.inbox / "anna/talks").mkdir(parents=True)
    (studio.folder / "proc/sys/fs/inotify/max_user_watches").write_text("2\n")
    return "E401", "3 folders, but fs.inotify.max_user_watches is 2", "fs.inotify.max_user_watches = 1048576"


def a_clock_that_nobody_keeps(studio, monkeypatch):
    studio.with_around(is_synchronised=lambda: False)
    return "E401", "nobody keeps it right", "timedatectl set-ntp true"


def a_unit_that_drifted(studio, monkeypatch):
    studio.write_unit(user=f"{studio.user}\nWatchdogSec=5")
    return "E401", f"{studio.unit} is not the one of heygemd", f"install -m 0644 {studio.shipped} {studio.unit}"


def a_root_that_the_unit_does_not_open(studio, monkeypatch):
    studio.write_unit(root="/srv/elsewhere")
    studio.shipped.write_text(studio.unit.read_text())
    return "E401", f"root {studio.root.path} is read-only for the service", f"ReadWritePaths=-{studio.root.path}"


def a_service_that_failed(studio, monkeypatch):
    studio.service_state = {"active": "failed", "result": "exit-code", "status": 78}
    return "E401", "failed (exit-code, status 78)", "journalctl -u heygemd"


def another_daemon_in_the_state_directory(studio, monkeypatch):
    studio.service_state = {"pid": 1}
    lock = places.locked(studio.state / "lock")
    lock.__enter__()
    studio.lock = lock  # as long as the studio stands
    return "E404", f"{studio.state} is held by pid {os.getpid()}, which is not the service", f"sudo kill {os.getpid()}"


def another_daemon_on_the_root(studio, monkeypatch):
    lock = places.locked(studio.root.private / "lock")
    lock.__enter__()
    studio.lock = lock
    return "E404", f"another daemon serves it (pid {os.getpid()}", f"sudo kill {os.getpid()}"


def a_folder_setting_that_is_wrong(studio, monkeypatch):
    file = studio.root.inbox / "anna/.heygemd.toml"
    file.parent.mkdir()
    file.write_text("priorty = 5\n")
    return "E123", f"{file}", f"mend or remove {file}"


def more_memory_kept_back_than_there_is(studio, monkeypatch):
    (studio.folder / "proc/meminfo").write_text(f"MemTotal: {8 << 20} kB\nMemAvailable: {4 << 20} kB\n")
    studio.extra_toml = "[render]\nram_reserve_mib = 8192\n"
    return "E303", "8192 MiB are kept back of 8192", "set render.ram_reserve_mib to less than 4096"


def a_variable_of_the_service_that_nobody_knows(studio, monkeypatch):
    file = studio.folder / "etc/heygemd/environment"
    file.write_text("# added in March\nHEYGEMD_RENDER__ENGIN=atlas\n")
    studio.write_unit(user=f"{studio.user}\nEnvironmentFile=-{file}")
    studio.shipped.write_text(studio.unit.read_text())
    return "E401", "unknown variable HEYGEMD_RENDER__ENGIN", f"correct HEYGEMD_RENDER__ENGIN in {file}"


FAULTS = [
    no_ffmpeg, an_old_ffmpeg, pytest.param(an_ffmpeg_without_x264, marks=pytest.mark.ffmpeg),
    an_unmounted_share, an_empty_folder_in_place_of_a_root, a_damaged_sentinel, a_sentinel_of_a_newer_program,
    a_copy_of_a_root,
    another_daemon_on_the_root, too_few_watches, a_folder_setting_that_is_wrong,
    a_state_directory_on_a_network_mount, a_broken_store, a_store_with_one_bad_page, a_metrics_folder_that_is_missing,
    another_daemon_in_the_state_directory,
    a_cut_download, a_web_page_in_place_of_weights, engine_without_weights, a_shipped_net_that_was_changed,
    a_driver_too_old_for_torch, a_torch_for_the_cpu_beside_a_card, a_card_too_old_for_torch, a_lost_card,
    a_driver_that_was_upgraded, a_driver_that_hangs, no_uvm, a_sum_that_fails_on_the_card,
    a_library_that_cannot_be_loaded,
    a_clock_that_nobody_keeps, more_memory_kept_back_than_there_is, a_variable_of_the_service_that_nobody_knows,
    a_unit_that_drifted, a_root_that_the_unit_does_not_open, a_service_that_failed,
]  # fmt: skip


@pytest.mark.parametrize("break_it", FAULTS, ids=lambda fault: fault.__name__)
def test_each_fault_gets_its_one_diagnosis(studio, monkeypatch, break_it):
    code, *message, fix = break_it(studio, monkeypatch)
    (finding,) = studio.wrong()
    assert finding.code == code
    for words in message:
        assert words in finding.message
    assert fix in finding.fix
    assert finding.message_zh


@pytest.mark.ffmpeg
def test_a_good_setup_raises_no_alarm(studio):
    studio.forget_stand_ins()
    found = studio.examine()
    assert [finding for finding in found if finding.level is not Level.OK] == []
    assert {finding.group for finding in found} == {
        "program", "settings", "devices", "tools", "models", "folders", "roots", "clock", "unit",
    }  # fmt: skip


def test_a_good_card_raises_no_alarm(studio):
    studio.with_card()
    assert studio.wrong() == []


def test_an_unknown_variable_is_told_and_the_rest_is_still_examined(studio, monkeypatch):
    monkeypatch.setenv("HEYGEMD_RENDER__DEVISE", "cpu")
    with pytest.raises(SetupError) as caught:
        load()
    found = examine(caught.value, around=studio.around)
    (wrong,) = [finding for finding in found if finding.level is not Level.OK]
    assert (wrong.code, wrong.group) == ("E401", "settings")
    assert "HEYGEMD_RENDER__DEVISE (did you mean HEYGEMD_RENDER__DEVICE?)" in wrong.message
    assert wrong.fix.startswith("unset HEYGEMD_RENDER__DEVISE")
    assert {finding.group for finding in found} >= {"devices", "tools", "models", "clock"}


@pytest.fixture
def other_studio():
    """One that belongs to `nobody`, in a folder that everybody may enter."""
    if os.geteuid() != 0:
        pytest.skip("needs root: only root can look with the rights of another user")
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)
        studio = Studio(folder, user="nobody")
        studio.settings()
        account = pwd.getpwnam("nobody")
        for place, _, files in os.walk(folder):
            for path in (place, *(f"{place}/{file}" for file in files)):
                os.chown(path, account.pw_uid, account.pw_gid)
        yield studio


def test_a_root_that_is_closed_to_the_user_of_the_service(other_studio):
    assert other_studio.wrong() == []
    outbox = other_studio.root.outbox
    os.chown(outbox, 0, 0)
    outbox.chmod(0o755)
    (finding,) = other_studio.wrong()
    assert (finding.code, finding.subject) == ("E201", f"root {other_studio.root.path}")
    assert finding.message == f"nobody may not read and write {outbox}"
    assert finding.fix == f"sudo chown -R nobody: {outbox}"


def test_a_state_directory_that_is_closed_to_the_user_of_the_service(other_studio):
    os.chown(other_studio.state, 0, 0)
    (finding,) = other_studio.wrong()
    assert finding.code == "E401"
    assert f"nobody may not write {other_studio.state}" in finding.message
    assert finding.fix == f"sudo chown -R nobody: {other_studio.state}"


def test_a_configuration_that_the_service_may_not_read(other_studio):
    other_studio.settings()
    other_studio.config.chmod(0o600)
    os.chown(other_studio.config, 0, 0)
    (finding,) = other_studio.wrong()
    assert (finding.code, finding.subject) == ("E401", "configuration")
    assert f"nobody may not read {other_studio.config}" in finding.message
    assert f"chgrp nobody {other_studio.config}" in finding.fix


@pytest.mark.mounts
@pytest.mark.ffmpeg
def test_a_state_directory_on_a_disk_that_is_nearly_full(tmp_path):
    """A real disk of 8 MB, in a mount namespace that ends with the command."""
    root, state = init_root(tmp_path / "films").path, tmp_path / "state"
    state.mkdir()
    command = (
        f"mount -t tmpfs -o size=8m,mode=0711 none {state} && exec {sys.executable} -m heygemd doctor --quick --json"
    )
    argv = [
        "unshare",
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        f"{command} --root {root} --state-dir {state}",
    ]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    (finding,) = [finding for finding in json.loads(done.stdout) if finding["level"] == "bad"]
    assert done.returncode == 78
    assert (finding["code"], finding["subject"]) == ("E202", "state directory")
    assert f"{state} has 0.0 GB left" in finding["message"]
    assert f"free some space on {state}" in finding["fix"]
