"""Looks at the set-up piece by piece and says, for each, whether it is good and what to do when it is not."""

import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from heygemd import catalogue, places
from heygemd.errors import ADVICE, HeygemdError, ResourceError, SetupError
from heygemd.intake.filesystems import is_local
from heygemd.intake.roots import check_online, open_root, refuse_nested
from heygemd.intake.writers import may_lease_any
from heygemd.jobs.job import EngineName
from heygemd.media.ffmpeg import require_tools
from heygemd.scheduler.devices import Device, choose_devices, find_devices, find_lost
from heygemd.scheduler.machine import Machine
from heygemd.settings import Settings

LOW_DISK_BYTES = 2 << 30
"""About an hour of 1080p film with its segments."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing looked at."""

    subject: str
    is_good: bool
    message: str
    code: str | None = None

    def as_dict(self) -> dict[str, object]:
        """For `--json`."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Every check, in the order a person would make them; none stops the next."""
    return list(_findings(settings))


def _findings(settings: Settings) -> Iterator[Finding]:
    yield Finding(subject="python", is_good=True, message=sys.version.split()[0])
    yield from _tools()
    yield from _devices(settings)
    yield from _engine(settings)
    yield from _state(settings)
    yield from _roots(settings)


def _tools() -> Iterator[Finding]:
    try:
        tools = require_tools()
    except HeygemdError as error:
        yield _bad("ffmpeg", error)
    else:
        yield Finding(subject="ffmpeg", is_good=True, message=tools.version)


def _devices(settings: Settings) -> Iterator[Finding]:
    found = find_devices()
    try:
        chosen = choose_devices(settings.render.device, settings.render.require_gpu, found)
    except HeygemdError as error:
        yield _bad("device", error)
    else:
        yield Finding(subject="device", is_good=True, message=", ".join(device.name for device in chosen))
    for device in found:
        message = _cpu(device) if device.kind == "cpu" else _card(device)
        yield Finding(subject=f"device {device.label}", is_good=True, message=message)
    for card in () if settings.render.device == "cpu" else find_lost():
        yield _bad(f"device {card.label}", ResourceError("E302", f"lost: the driver says {card.name!r}"))


def _card(device: Device) -> str:
    """Say what a graphics card has, who is on it, and whether it is slowed down."""
    holders = ", ".join(
        f"pid {holder.pid}" + (f" {_mib(holder.held_bytes)}" if holder.held_bytes is not None else "")
        for holder in device.holders
    )
    parts = [
        device.name,
        f"{_mib(device.free_bytes)} of {_mib(device.total_bytes)} free",
        f"held by {holders}" if holders else "no process on it is known",
        f"throttled: {', '.join(device.throttle)}" if device.throttle else "not throttled",
        f"{device.temperature_c} °C" if device.temperature_c is not None else "",
    ]
    return "; ".join(part for part in parts if part)


def _cpu(device: Device) -> str:
    """Say what a worker on the CPU may use, and what keeps it from more; a service has limits of its own."""
    cores, memory = Machine().cores(), Machine().memory()
    kept = f" (the machine has {cores.present}, but {cores.limited_by} allows no more)" if cores.limited_by else ""
    less = (
        f" (the machine has {_mib(memory.physical_bytes)}, but {memory.limited_by} allows no more)"
        if memory.limited_by
        else ""
    )
    return f"{device.cores} cores{kept}; {_mib(device.free_bytes)} of {_mib(device.total_bytes)} memory available{less}"


def _mib(count: int) -> str:
    return f"{count / (1 << 20):.0f} MiB"


def _engine(settings: Settings) -> Iterator[Finding]:
    try:
        choice = catalogue.choose_engine(EngineName(settings.render.engine), settings.models_dir)
    except HeygemdError as error:
        yield _bad("engine", error)
    else:
        weights = f" with {choice.weights.name} ({choice.weights_sha256})" if choice.weights else ""
        yield Finding(subject="engine", is_good=True, message=f"{choice.name}{weights}")


def _state(settings: Settings) -> Iterator[Finding]:
    folder = settings.state_dir or places.state_home()
    try:
        places.make_private(folder)
    except HeygemdError as error:
        yield _bad("state directory", error)
        return
    if not is_local(folder):
        message = f"{folder} lies on a network mount; the store needs a local disk"
        yield _bad("state directory", SetupError("E401", message))
        return
    free = shutil.disk_usage(folder).free
    yield Finding(
        subject="state directory",
        is_good=free > LOW_DISK_BYTES,
        message=f"{folder}, {free / 1e9:.1f} GB free" + ("" if free > LOW_DISK_BYTES else f"; {ADVICE['E202'].todo}"),
        code=None if free > LOW_DISK_BYTES else "E202",
    )


def _roots(settings: Settings) -> Iterator[Finding]:
    opened = []
    for folder in settings.roots:
        try:
            opened.append(open_root(folder))
            check_online(opened[-1])
        except HeygemdError as error:
            yield _bad(f"root {folder}", error)
        else:
            yield Finding(subject=f"root {folder}", is_good=True, message="online")
            yield Finding(subject=f"writers in {folder}", is_good=True, message=_sight(folder, settings))
    try:
        refuse_nested(opened)
    except HeygemdError as error:
        yield _bad("roots", error)


def _sight(folder: Path, settings: Settings) -> str:
    """Say how surely a file that is still being written is known, and so how long files must be quiet."""
    sure, unsure = settings.intake.settle_s, settings.intake.settle_unsure_s
    if not is_local(folder):
        return f"a network mount: who writes there cannot be seen; a file must be quiet for {unsure:g} s"
    if may_lease_any():
        return f"seen by lease, whoever owns the file (CAP_LEASE); a file must be quiet for {sure:g} s"
    return (
        f"seen by lease for files of user {os.getuid()} (Samba: force user), quiet for {sure:g} s; "
        f"files of others must be quiet for {unsure:g} s, unless heygemd is given CAP_LEASE"
    )


def _bad(subject: str, error: HeygemdError) -> Finding:
    return Finding(
        subject=subject, is_good=False, message=f"{error.message}. {ADVICE[error.code].todo}", code=error.code
    )
