"""The shipped unit, read by systemd's own tools, and compared with what systemd/README.md says about it."""

import json
import re
import shutil
import subprocess
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

MOST_EXPOSURE = 11
"""Tenths; what the project promises."""
COMPARED_WITH = 252
"""The systemd whose result the page shows; others know more or fewer lines."""
BEGIN, END = "# --- Hardening", "[Install]"


def analyze(*words: object) -> subprocess.CompletedProcess[str]:
    argv = ["systemd-analyze", "--no-pager", *map(str, words)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def systemd_version() -> int:
    if shutil.which("systemd-analyze") is None:
        return 0
    return int(analyze("--version").stdout.split()[1])


needs_analyze = pytest.mark.skipif(systemd_version() < 250, reason="needs systemd-analyze 250 or newer")


@pytest.fixture(scope="module")
def unit(repository: Path) -> Path:
    return repository / "systemd/heygemd.service"


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "systemd/README.md").read_text()


def hardening(unit: Path) -> list[str]:
    """Lines of the unit from the first heading of the hardening on, comments among them."""
    lines = unit.read_text().splitlines()
    first = next(number for number, line in enumerate(lines) if line.startswith(BEGIN))
    return lines[first : lines.index(END)]


def settings(lines: list[str]) -> list[str]:
    return [line for line in lines if line and not line.startswith("#")]


def subject(line: str) -> str:
    """What a line is about: `StateDirectoryMode=` tells no more than `StateDirectory=`."""
    return line.partition("=")[0].removesuffix("Mode")


def table(page: str, heading: str) -> list[list[str]]:
    """Rows of the table under a heading, without the code marks."""
    section = page.split(f"\n## {heading}\n")[1].split("\n## ", maxsplit=1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [[cell.strip().strip("`") for cell in row] for row in rows]


@needs_analyze
def test_exposure_is_as_low_as_promised(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", unit)
    assert done.returncode == 0, done.stdout[-2000:]


@needs_analyze
def test_exposure_without_the_sandbox_would_be_refused(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    (tmp_path / unit.name).write_text(text[: text.index(BEGIN)])
    done = analyze("security", "--offline=true", f"--threshold={MOST_EXPOSURE}", tmp_path / unit.name)
    assert done.returncode != 0


@needs_analyze
def test_page_shows_the_exposure_that_is_measured(unit: Path, page: str) -> None:
    if systemd_version() != COMPARED_WITH:
        pytest.skip(f"the page shows what systemd {COMPARED_WITH} says")
    last = analyze("security", "--offline=true", unit).stdout.strip().splitlines()[-1]
    said = re.search(r"exposure level for heygemd.service: [\d.]+ \w+", last)
    assert said is not None
    assert said[0] in page


@needs_analyze
def test_page_explains_every_line_that_is_off(unit: Path, page: str) -> None:
    if systemd_version() != COMPARED_WITH:
        pytest.skip(f"the page tells of the lines that systemd {COMPARED_WITH} knows")
    rows = json.loads(analyze("security", "--offline=true", "--json=short", unit).stdout)
    off = {row["name"]: row["exposure"] for row in rows if not row["set"] and row["exposure"] is not None}
    assert {name: cost for name, cost, _ in table(page, "Off, and why")} == off


@needs_analyze
def test_lease_drop_in_costs_what_is_said(unit: Path, page: str, tmp_path: Path) -> None:
    drop_in = unit.with_name("heygemd.service.d") / "lease.conf.example"
    text = unit.read_text().replace(END, drop_in.read_text() + END)
    (tmp_path / unit.name).write_text(text)
    rows = analyze("security", "--offline=true", tmp_path / unit.name).stdout
    cost = re.search(r"heygemd.service: ([\d.]+)", rows)
    assert cost is not None
    assert float(cost[1]) <= MOST_EXPOSURE / 10
    if systemd_version() == COMPARED_WITH:
        assert f"systemd-analyze security then says {cost[1]} instead of 0.4" in drop_in.read_text()
        assert f"the whole is {cost[1]}" in page


@needs_analyze
def test_unit_has_no_mistake_that_systemd_can_see(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "heygemd"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    here = tmp_path / unit.name
    here.write_text(unit.read_text().replace("/opt/heygemd/venv/bin/heygemd", str(program)))
    done = analyze("verify", "--man=no", here)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
    here.write_text(here.read_text().replace("ProtectHome=", "ProtectHomes="))
    assert "ProtectHomes" in analyze("verify", "--man=no", here).stderr, "it would have seen one"


def test_every_line_of_the_hardening_has_its_reason_above_it(unit: Path) -> None:
    lines = hardening(unit)
    bare = []
    for above, line in pairwise(lines):
        explained = above.startswith("# ") and not above.startswith(BEGIN)
        belongs_to_it = subject(above) == subject(line) or line == "Group=heygemd"
        if not line.startswith("#") and line and not explained and not belongs_to_it:
            bare.append(line)
    assert bare == []


def test_page_and_unit_tell_of_the_same_lines(unit: Path, page: str) -> None:
    told = [row[0] for row in table(page, "Hardening, line by line")]
    assert Counter(told) == Counter(settings(hardening(unit)))


def test_nothing_of_the_hardening_hides_above_its_heading(unit: Path) -> None:
    lines = unit.read_text().splitlines()
    plain = settings(lines[: next(n for n, line in enumerate(lines) if line.startswith(BEGIN))])
    suspicious = ("Protect", "Private", "Restrict", "SystemCall", "Capability", "NoNew", "Device", "Lock", "Ambient")
    keys = {line.partition("=")[0] for line in plain}
    assert [key for key in keys if key.startswith(suspicious) and key != "RestartPreventExitStatus"] == []


def test_directories_have_the_modes_of_the_unit(unit: Path) -> None:
    made = {
        row[1]: row[2]
        for line in unit.with_name("heygemd.tmpfiles").read_text().splitlines()
        if (row := line.split()) and row[0] == "d"
    }
    lines = settings(hardening(unit))
    for name, place in (("State", "/var/lib"), ("Cache", "/var/cache"), ("Logs", "/var/log")):
        assert f"{name}DirectoryMode={made[f'{place}/heygemd']}" in lines


def test_drop_ins_ask_for_nothing_that_the_unit_does_not_know(unit: Path) -> None:
    examples = sorted(unit.with_name("heygemd.service.d").glob("*.conf.example"))
    assert [file.name.split(".")[0] for file in examples] == ["alert", "lease", "memory", "root"]
    for file in examples:
        assert f"/etc/systemd/system/heygemd.service.d/{file.name.removesuffix('.example')}" in file.read_text()


def test_device_files_are_asked_for_every_card(unit: Path, tmp_path: Path) -> None:
    line = next(line for line in unit.read_text().splitlines() if line.startswith("ExecStartPre=+/bin/sh -c '"))
    script = line.partition("'")[2].removesuffix("'").replace("$$", "$")
    assert "/proc/driver/nvidia/gpus/" in script
    for card in ("0000:17:00.0", "0000:65:00.0"):
        (tmp_path / "gpus" / card).mkdir(parents=True)
    maker = tmp_path / "nvidia-modprobe"
    maker.write_text('#!/bin/sh\necho "$@"\nexit 1\n')
    maker.chmod(0o755)

    def run(gpus: Path, path: Path) -> tuple[int, str]:
        argv = ["/bin/sh", "-c", script.replace("/proc/driver/nvidia/gpus", str(gpus))]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, env={"PATH": f"{path}:/bin"})
        return done.returncode, done.stdout

    assert run(tmp_path / "gpus", tmp_path) == (0, "-u -c 0\n-u -c 1\n"), "a failure is not one of the daemon"
    assert run(tmp_path / "gpus", tmp_path / "gpus") == (0, ""), "drivers without the program"
    assert run(tmp_path / "none", tmp_path) == (0, ""), "machines without a card"
