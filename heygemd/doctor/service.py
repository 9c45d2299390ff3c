"""The installed systemd service: what its unit file and drop-ins say, and how systemd finds it."""

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from heygemd.doctor.account import Account, find_account, myself
from heygemd.doctor.surroundings import UNIT_NAME, Surroundings, answer_of

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""What systemd gives to services (systemd.exec(5))."""
ASKED = (
    "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "NeedDaemonReload", "UnitFileState", "MainPID",
    "ExecMainStatus", "FragmentPath", "DropInPaths", "StatusText",
)  # fmt: skip

Line = tuple[str, str, str]
"""Section, key, value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The unit as it is installed; `file` None: it is not."""

    file: Path | None = None
    drop_ins: tuple[Path, ...] = ()
    lines: tuple[Line, ...] = ()
    """Of the unit file alone, in order, without comments."""
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of its section [Service], with the drop-ins: key → values that are in force."""
    state: Mapping[str, str] = field(default_factory=dict)
    """What systemd says (`ASKED`); empty where it does not run or does not answer."""

    def words(self, key: str) -> tuple[str, ...]:
        """Return the words of a key that is a list, of all its lines."""
        return tuple(word for value in self.values.get(key, ()) for word in _split(value))

    def value(self, key: str, default: str = "") -> str:
        """Return the last value of a key."""
        return self.values.get(key, (default,))[-1]

    @property
    def user(self) -> str:
        """Who runs it."""
        return self.value("User", "root")

    def folders(self, key: str, base: str) -> tuple[Path, ...]:
        """Return the folders that systemd makes for it: `StateDirectory` below /var/lib, and so on."""
        return tuple(Path(base) / word.partition(":")[0] for word in self.words(key))

    @property
    def program(self) -> Path | None:
        """The program that it starts."""
        words = self.words("ExecStart")
        return Path(words[0].lstrip("-@:+!|")) if words else None

    @property
    def config(self) -> Path | None:
        """The configuration file that its command line or its environment names."""
        words = self.words("ExecStart")
        for word, after in pairwise((*words, "")):
            if word in ("-c", "--config"):
                return Path(after)
            if word.startswith("--config="):
                return Path(word.partition("=")[2])
        return next((Path(value) for name, value in self.variables() if name == "HEYGEMD_CONFIG"), None)

    def variables(self) -> Iterator[tuple[str, str]]:
        """Yield the variables that the unit sets itself."""
        for word in self.words("Environment"):
            name, sign, value = word.partition("=")
            if sign:
                yield name, value

    @property
    def environment_files(self) -> tuple[Path, ...]:
        """Files with more variables; a leading `-` says that one may be missing."""
        return tuple(Path(word.removeprefix("-")) for word in self.words("EnvironmentFile"))

    @property
    def main_pid(self) -> int:
        """Process of the running service; 0: none, or not known."""
        return int(self.state.get("MainPID", "0") or 0)


def find_service(around: Surroundings) -> Service:
    """Read the unit from the first folder that has it, its drop-ins, and systemd's opinion; never raises OSError."""
    file = next((folder / UNIT_NAME for folder in around.unit_folders if (folder / UNIT_NAME).is_file()), None)
    if file is None:
        return Service()
    drop_ins = _drop_ins(around)
    lines = parse(around.text(file))
    overlaid = [*lines, *(line for drop_in in drop_ins for line in parse(around.text(drop_in)))]
    return Service(
        file=file, drop_ins=drop_ins, lines=tuple(lines), values=_in_force(overlaid), state=_asked(around),
    )  # fmt: skip


def account_of(service: Service) -> Account | None:
    """Return whose rights count: the service's user, or this process's where no unit is installed."""
    return myself() if service.file is None else find_account(service.user, service.value("Group"))


def parse(text: str) -> list[Line]:
    """Read a unit file: comments and blank lines dropped, continued lines joined, blanks around `=` dropped."""
    lines: list[Line] = []
    section, whole = "", ""
    for raw in text.splitlines():
        part = raw.strip()
        if part.startswith(("#", ";")) or (not part and not whole):
            continue
        if part.endswith("\\"):
            whole += part[:-1].rstrip() + " "
            continue
        whole += part
        if whole.startswith("["):
            section = whole.strip("[]")
        elif "=" in whole:
            key, _, value = whole.partition("=")
            lines.append((section, key.strip(), " ".join(value.split())))
        whole = ""
    return lines


def _in_force(lines: list[Line]) -> dict[str, tuple[str, ...]]:
    """An empty value takes back what stood before it."""
    values: dict[str, tuple[str, ...]] = {}
    for section, key, value in lines:
        if section == "Service":
            values[key] = (*values.get(key, ()), value) if value else ()
    return {key: found for key, found in values.items() if found}


def _drop_ins(around: Surroundings) -> tuple[Path, ...]:
    """Find them in the order in which they are read; a name in a higher folder hides the same name below."""
    found: dict[str, Path] = {}
    for folder in around.unit_folders:
        for file in sorted((folder / f"{UNIT_NAME}.d").glob("*.conf")):
            found.setdefault(file.name, file)
    return tuple(found[name] for name in sorted(found))


def _asked(around: Surroundings) -> dict[str, str]:
    systemctl = around.program("systemctl")
    if systemctl is None or not around.has_systemd:
        return {}
    told = answer_of(systemctl, "show", UNIT_NAME, "--no-pager", f"--property={','.join(ASKED)}")
    pairs = (line.partition("=") for line in (told or "").splitlines())
    return {key: value for key, sign, value in pairs if sign}


def _split(value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:  # an open quote
        return value.split()
