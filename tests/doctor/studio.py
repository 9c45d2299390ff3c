"""A good set-up of an installed heygemd in one folder, with a machine of its own around it."""

import os
import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path

from heygemd.doctor.account import name_of
from heygemd.doctor.examination import carry_out, checks_of, examine, prepare
from heygemd.doctor.finding import Level
from heygemd.doctor.surroundings import Surroundings
from heygemd.intake.roots import init_root
from heygemd.jobs.store import JobStore
from heygemd.media import abilities
from heygemd.scheduler.fake_nvml import FakeNvml
from heygemd.settings import load

UNIT = """
# A small one.
[Unit]
Description=heygemd

[Service]
Type=notify
ExecStart={program} run --config {config}
User={user}
UMask=0022
ProtectSystem=strict
ReadWritePaths=-{root} {state}
"""
SYSTEMCTL = """#!/bin/sh
cat <<END
LoadState=loaded
ActiveState={active}
SubState=running
Result={result}
NRestarts={restarts}
NeedDaemonReload={needs_reload}
UnitFileState=enabled
MainPID={pid}
ExecMainStatus={status}
StatusText=idle
END
"""
GOOD_TOOL = """#!/bin/sh
case $1 in
  -version) echo "{name} version 7.1 Copyright"; echo "libavutil      59. 39.100 / 59. 39.100" ;;
  *) while read -r line; do echo " $line"; done <{listing} ;;
esac
"""
CPU_TORCH = {
    "libraries": {"numpy": {"version": "2.1.0"}},
    "torch": {
        "version": "2.9.0+cpu", "cuda": None, "hip": None, "cudnn": None, "architectures": [], "devices": [],
        "reason": "", "cpu_error": "",
    },
}  # fmt: skip
CARD_TORCH = {
    "libraries": {"numpy": {"version": "2.1.0"}},
    "torch": {
        "version": "2.9.0+cu126", "cuda": "12.6", "hip": None, "cudnn": 91002,
        "architectures": ["sm_75", "sm_80", "sm_86", "sm_90", "compute_90"],
        "devices": [{"label": "cuda:0", "name": "NVIDIA Fake 16GB", "capability": [8, 9], "error": ""}],
        "reason": "", "cpu_error": "",
    },
}  # fmt: skip


@dataclass
class Studio:
    """Everything in `folder`; each part can be broken before `examine`."""

    folder: Path
    user: str = field(default_factory=lambda: name_of(os.geteuid()))
    variables: dict[str, str] = field(default_factory=dict)
    torch: dict = field(default_factory=lambda: CPU_TORCH)
    nvml: FakeNvml = field(default_factory=lambda: FakeNvml(is_installed=False))
    service_state: dict[str, str] = field(default_factory=dict)
    extra_toml: str = ""

    def __post_init__(self):
        self.root = init_root(self.folder / "films")
        self.state = self.made("state")
        self.metrics = self.made("metrics")
        self.models = self.made("models")
        self.programs = self.made("bin")
        self.config = self.made("etc/heygemd") / "heygemd.toml"
        self.made("run/systemd/system")
        self.made("var/log/journal")
        limits = self.made("proc/sys/fs/inotify")
        (limits / "max_user_watches").write_text("65536\n")
        (limits / "max_user_instances").write_text("128\n")
        self.state.chmod(0o711)
        JobStore(self.state / "jobs.sqlite").close()
        self.shipped = self.made("shipped") / "heygemd.service"
        self.around = Surroundings(
            proc=self.folder / "proc", sys=self.folder / "sys", dev=self.folder / "dev", etc=self.folder / "etc",
            run=self.folder / "run", var=self.folder / "var",
            unit_folders=(self.folder / "etc/systemd/system", self.folder / "lib/systemd/system"),
            shipped_unit=self.shipped, search_path=f"{self.programs}:{os.environ['PATH']}",
            nvml=self.nvml, ask_torch=lambda: self.torch, is_synchronised=lambda: True,
        )  # fmt: skip
        listing = self.folder / "listing"
        names = {name for wanted in (abilities.NEEDED, abilities.WANTED) for kind in wanted.values() for name in kind}
        listing.write_text("".join(f" .. {name} x\n" for name in sorted(names)))
        for name in ("ffmpeg", "ffprobe"):
            self.program(name, GOOD_TOOL.format(name=name, listing=listing))
        self.unit = self.made("lib/systemd/system") / "heygemd.service"
        self.write_unit()
        self.shipped.write_text(self.unit.read_text())

    def forget_stand_ins(self) -> None:
        """Use the ffmpeg of the machine."""
        for name in ("ffmpeg", "ffprobe"):
            (self.programs / name).unlink()

    def made(self, name: str) -> Path:
        place = self.folder / name
        place.mkdir(parents=True, exist_ok=True)
        return place

    def write_unit(self, **changes: object) -> None:
        facts = {"program": shutil.which("true"), "config": self.config, "user": self.user, "root": self.root.path}
        facts["state"] = f"{self.state} {self.metrics}"
        self.unit.write_text(UNIT.format(**{**facts, **changes}))

    def program(self, name: str, text: str) -> Path:
        """A stand-in that is found before all others."""
        file = self.programs / name
        file.write_text(text)
        file.chmod(0o755)
        return file

    def with_around(self, **changes: object) -> None:
        self.around = replace(self.around, **changes)

    def with_card(self, *, torch=CARD_TORCH, **facts: object) -> None:
        """A graphics card that works, with everything that belongs to it."""
        from heygemd.scheduler.fake_nvml import FakeGpu

        self.torch = torch
        self.nvml = FakeNvml((FakeGpu(),), **facts)
        self.with_around(nvml=self.nvml)
        dev = self.made("dev")
        for name in ("nvidiactl", "nvidia-uvm", "nvidia0"):
            (dev / name).touch()
        (self.made("proc/driver/nvidia") / "version").write_text("NVRM version: 550.54.15\n")
        pci = self.made("sys/bus/pci/devices/0000:01:00.0")
        (pci / "vendor").write_text("0x10de\n")
        (pci / "class").write_text("0x030000\n")

    def settings(self):
        self.config.write_text(
            f'roots = ["{self.root.path}"]\nstate_dir = "{self.state}"\nmodels_dir = "{self.models}"\n'
            f'metrics_file = "{self.metrics}/heygemd.prom"\n{self.extra_toml}'
        )
        return load(self.config)

    def examine(self, *groups: str):
        """Examine everything, or some parts of it, which is faster."""
        facts = {"active": "active", "result": "success", "restarts": 0, "needs_reload": "no", "pid": 0, "status": 0}
        self.program("systemctl", SYSTEMCTL.format(**{**facts, **self.service_state}))
        settings = self.settings()
        if not groups:
            return examine(settings, config=self.config, around=self.around)
        case, troubles = prepare(settings, config=self.config, around=self.around)
        return [*troubles, *carry_out([check for check in checks_of(case) if check.group in groups])]

    def wrong(self, *groups: str):
        """What is not as it should be."""
        return [finding for finding in self.examine(*groups) if finding.level is not Level.OK]
