"""The machine: fake trees of procfs and control groups, of version 2, of version 1, and of both."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.scheduler.machine import Machine, OomCounter

MIB = 1 << 20
GIB = 1 << 30


class Tree:
    """A machine with 8 processors and 16 GiB, of which 12 GiB are available."""

    def __init__(self, folder: Path) -> None:
        self.proc = folder / "proc"
        self.groups = folder / "cgroup with space"
        self.affinity = 8
        self.write("proc/stat", "cpu  1 2 3\n" + "".join(f"cpu{n} 1 2 3\n" for n in range(8)) + "intr 1\n", folder)
        self.write("proc/meminfo", f"MemTotal: {16 << 20} kB\nMemAvailable: {12 << 20} kB\nHuge: 0\n", folder)
        self.write("proc/vmstat", "pgpgin 1\noom_kill 40\n", folder)
        self.write("proc/self/cgroup", "", folder)
        self.write("proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\nnonsense\n", folder)

    def write(self, name: str, text: str, folder: Path | None = None) -> None:
        """Write a file of the control groups, or of another folder."""
        file = (folder or self.groups) / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def mount(self, kind: str, own: str, *, root: str = "/", at: str = "", options: str = "rw") -> None:
        """Mount a hierarchy below `at` and put us into its group `own`."""
        point = str(self.groups / at).replace(" ", "\\040")
        with (self.proc / "self/mountinfo").open("a") as file:
            file.write(f"31 22 0:28 {root} {point} rw,nosuid shared:9 - {kind} {kind} {options}\n")
        with (self.proc / "self/cgroup").open("a") as file:
            file.write(f"0::{own}\n" if kind == "cgroup2" else f"4:{options.removeprefix('rw,')}:{own}\n")

    @property
    def machine(self) -> Machine:
        return Machine(proc=self.proc, affinity=lambda: self.affinity)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


@pytest.fixture
def service(tree: Tree) -> Tree:
    """We are the service of a machine with version 2."""
    tree.mount("cgroup2", "/system.slice/heygemd.service")
    tree.write("system.slice/heygemd.service/cpu.max", "max 100000\n")
    tree.write("system.slice/heygemd.service/memory.max", "max\n")
    tree.write("system.slice/heygemd.service/memory.high", "max\n")
    return tree


def test_a_machine_without_limits_is_all_ours(service: Tree) -> None:
    cores, memory = service.machine.cores(), service.machine.memory()
    assert (cores.present, cores.usable, cores.limited_by) == (8, 8, "")
    assert (memory.physical_bytes, memory.total_bytes, memory.limited_by) == (16 * GIB, 16 * GIB, "")
    assert memory.available_bytes == 12 * GIB


def test_without_any_control_group_the_machine_counts(tree: Tree) -> None:
    assert tree.machine.cores().usable == 8
    assert tree.machine.memory().available_bytes == 12 * GIB


def test_the_affinity_limits_the_cores(service: Tree) -> None:
    service.affinity = 3
    cores = service.machine.cores()
    assert (cores.present, cores.usable, cores.limited_by) == (8, 3, "the processor affinity")


@pytest.mark.parametrize(
    ("quota", "usable"),
    [("150000 100000", 2), ("100000 100000", 1), ("1000 100000", 1), ("50000 25000", 2), ("900000 100000", 8),
     ("max 100000", 8), ("", 8), ("150000 0", 8), ("nonsense 1", 8)],
)  # fmt: skip
def test_a_quota_limits_the_cores_and_a_part_counts_whole(service: Tree, quota: str, usable: int) -> None:
    service.write("system.slice/heygemd.service/cpu.max", quota)
    cores = service.machine.cores()
    assert cores.usable == usable
    assert ("heygemd.service" in cores.limited_by) == (usable < 8)


def test_the_quota_of_a_group_around_ours_holds_for_us(service: Tree) -> None:
    service.write("system.slice/cpu.max", "400000 100000")
    assert service.machine.cores().usable == 4
    service.affinity = 2
    assert service.machine.cores().usable == 2


def test_version_1_limits_the_cores_too(tree: Tree) -> None:
    tree.mount("cgroup", "/docker/abc", at="cpu", options="rw,cpu,cpuacct")
    tree.write("cpu/docker/abc/cpu.cfs_quota_us", "-1\n")
    tree.write("cpu/docker/abc/cpu.cfs_period_us", "100000\n")
    assert tree.machine.cores().usable == 8
    tree.write("cpu/docker/abc/cpu.cfs_quota_us", "250000\n")
    assert tree.machine.cores().usable == 3


def limit(tree: Tree, group: str, *, most: str, used_bytes: int, inactive: int = 0, active: int = 0) -> None:
    tree.write(f"{group}/memory.max", f"{most}\n")
    tree.write(f"{group}/memory.current", f"{used_bytes}\n")
    tree.write(f"{group}/memory.stat", f"anon 5\ninactive_file {inactive}\nactive_file {active}\n")


def test_the_limit_of_our_group_is_our_memory_and_its_file_cache_is_available(service: Tree) -> None:
    limit(service, "system.slice/heygemd.service", most=str(4 * GIB), used_bytes=3 * GIB, inactive=2 * GIB)
    memory = service.machine.memory()
    assert (memory.physical_bytes, memory.total_bytes) == (16 * GIB, 4 * GIB)
    assert memory.available_bytes == 3 * GIB
    assert "/system.slice/heygemd.service" in memory.limited_by


def test_a_group_full_of_cache_that_was_read_twice_is_not_full(service: Tree) -> None:
    limit(service, "system.slice/heygemd.service", most=str(4 * GIB), used_bytes=4 * GIB, active=3 * GIB)
    assert service.machine.memory().available_bytes == 3 * GIB // 2


def test_the_limit_that_slows_down_counts_like_the_one_that_kills(service: Tree) -> None:
    limit(service, "system.slice/heygemd.service", most=str(4 * GIB), used_bytes=GIB)
    service.write("system.slice/heygemd.service/memory.high", f"{2 * GIB}\n")
    memory = service.machine.memory()
    assert (memory.total_bytes, memory.available_bytes) == (2 * GIB, GIB)


def test_a_full_group_around_ours_leaves_nothing(service: Tree) -> None:
    limit(service, "system.slice/heygemd.service", most=str(4 * GIB), used_bytes=GIB)
    limit(service, "system.slice", most=str(6 * GIB), used_bytes=7 * GIB)
    memory = service.machine.memory()
    assert (memory.total_bytes, memory.available_bytes) == (4 * GIB, 0)


def test_a_limit_beyond_the_machine_changes_nothing(service: Tree) -> None:
    limit(service, "system.slice/heygemd.service", most=str(64 * GIB), used_bytes=GIB)
    memory = service.machine.memory()
    assert (memory.total_bytes, memory.available_bytes, memory.limited_by) == (16 * GIB, 12 * GIB, "")


def test_version_1_limits_the_memory_too_and_beside_version_2(tree: Tree) -> None:
    tree.mount("cgroup2", "/", at="unified")
    tree.mount("cgroup", "/jobs/one", at="memory", options="rw,memory")
    tree.write("memory/memory.limit_in_bytes", "9223372036854771712\n")
    tree.write("memory/jobs/one/memory.limit_in_bytes", f"{2 * GIB}\n")
    tree.write("memory/jobs/one/memory.usage_in_bytes", f"{GIB}\n")
    tree.write("memory/jobs/one/memory.stat", f"inactive_file 1\ntotal_inactive_file {512 * MIB}\n")
    memory = tree.machine.memory()
    assert (memory.total_bytes, memory.available_bytes) == (2 * GIB, 1536 * MIB)


def test_a_container_that_sees_only_its_own_group_is_understood(tree: Tree) -> None:
    tree.mount("cgroup2", "/docker/abc/inner", root="/docker/abc")
    limit(tree, "inner", most=str(2 * GIB), used_bytes=0)
    tree.write("cpu.max", "100000 100000")
    assert tree.machine.memory().total_bytes == 2 * GIB
    assert tree.machine.cores().limited_by == "the quota of control group /docker/abc"


@pytest.mark.parametrize("own", ["/../elsewhere", "/docker/abcdef", "/other"])
def test_of_a_group_that_cannot_be_seen_the_mount_point_counts(tree: Tree, own: str) -> None:
    tree.mount("cgroup2", own, root="/docker/abc")
    tree.write("cpu.max", "300000 100000")
    tree.write("def/cpu.max", "100000 100000")
    assert tree.machine.cores().usable == 3


def test_oom_kills_of_our_group_come_before_those_of_the_machine(service: Tree) -> None:
    assert service.machine.oom_kills() == 40
    service.write("system.slice/memory.events", "oom 9\noom_kill 9\n")
    assert service.machine.oom_kills() == 40
    service.write("system.slice/heygemd.service/memory.events", "low 0\noom 3\noom_kill 2\noom_group_kill 0\n")
    assert service.machine.oom_kills() == 2


def test_version_1_counts_oom_kills_too(tree: Tree) -> None:
    tree.mount("cgroup2", "/", at="unified")
    tree.mount("cgroup", "/jobs/one", at="memory", options="rw,memory")
    tree.write("memory/jobs/one/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 7\n")
    assert tree.machine.oom_kills() == 7


def test_a_machine_that_tells_nothing_breaks_nothing(tmp_path: Path) -> None:
    machine = Machine(proc=tmp_path / "absent", affinity=lambda: 2)
    assert machine.cores().usable == 2
    assert machine.memory().total_bytes == 0
    assert machine.oom_kills() is None
    counter = OomCounter(machine.oom_kills)
    assert not counter.has_risen()


def test_this_machine_has_cores_and_memory() -> None:
    cores, memory = Machine().cores(), Machine().memory()
    assert 1 <= cores.usable <= cores.present
    assert 0 < memory.available_bytes <= memory.total_bytes <= memory.physical_bytes


@pytest.mark.parametrize(
    ("counts", "risen"),
    [
        ([5, 5, 6, 6], [False, True, False]),
        ([5, 9, 9, 10], [True, False, True]),
        ([5, None, 6, 6], [False, True, False]),
        ([None, 6, 6, 7], [False, False, True]),
        ([5, 2, 2, 3], [False, False, True]),
    ],
    ids=["one", "several at once", "absent for a while", "appears later", "starts again"],
)
def test_a_rise_is_told_once(counts: list[int | None], risen: list[bool]) -> None:
    reads = iter(counts)
    counter = OomCounter(lambda: next(reads))
    assert [counter.has_risen() for _ in counts[1:]] == risen


@given(st.lists(st.integers(0, 3), max_size=20))
def test_the_counter_tells_as_many_rises_as_there_are(steps: list[int]) -> None:
    total = 10
    counter = OomCounter(lambda: total)
    told = 0
    for step in steps:
        total += step
        told += counter.has_risen()
    assert told == sum(step > 0 for step in steps)
