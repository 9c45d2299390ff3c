"""Settings that cannot be read, that are each allowed and yet cannot be meant, and those that only the service sees."""

import os
from collections.abc import Iterator
from pathlib import Path

from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, good
from heygemd.doctor.patience import bounded
from heygemd.errors import SetupError
from heygemd.scheduler.machine import Machine
from heygemd.settings import load

LIMIT_S = 10.0
PREFIX = "HEYGEMD_"


def look(case: Case) -> Iterator[Finding]:
    """Judge the settings against the machine."""
    yield from _environment_files(case)
    if case.settings is None:
        return
    if case.config is not None:
        yield good("configuration", str(case.config))
    else:
        yield good("configuration", "no file: the defaults", "无配置文件，使用默认值")
    yield from _memory(case)


def of_error(config: Path | None, error: SetupError) -> Finding:
    """Tell why the settings cannot be read."""
    variable = _variable_in(error.message)
    if variable:
        return bad(
            "configuration", error.message, f"环境变量有误：{error.message}", code=error.code,
            fix=f"unset {variable}, or correct its name where it is set (~/.profile, /etc/environment)",
            fix_zh=f"unset {variable}，或在设置它的地方更正名称（~/.profile、/etc/environment）",
        )  # fmt: skip
    place = config or "the HEYGEMD_* variables"
    return bad(
        "configuration", error.message, f"设置有误：{error.message}", code=error.code,
        fix=f"correct {place}, then: heygemd config check",
        fix_zh=f"请更正 {config or 'HEYGEMD_* 环境变量'}，然后：heygemd config check",
    )  # fmt: skip


def _variable_in(message: str) -> str:
    return message.partition("unknown variable ")[2].partition(" ")[0]


def _environment_files(case: Case) -> Iterator[Finding]:
    """Read the settings once as the service does: `heygemd doctor` by hand gets none of these variables."""
    for file in case.service.environment_files:
        ours = {name: value for name, value in _pairs(case.around.text(file)) if name.upper().startswith(PREFIX)}
        if not ours:
            continue
        config = case.config if case.is_of_service else None
        try:
            bounded(lambda config=config, ours=ours: _load_with(config, ours), limit_s=LIMIT_S)  # type: ignore[misc]
        except SetupError as error:
            name = _variable_in(error.message)
            yield bad(
                "configuration", f"{file}: {error.message}", f"{file} 有误：{error.message}", code=error.code,
                fix=f"correct {name or 'it'} in {file}, then: sudo systemctl restart heygemd",
                fix_zh=f"更正 {file} 中的 {name or '该项'}，然后：sudo systemctl restart heygemd",
            )  # fmt: skip
        else:
            names = ", ".join(ours)
            yield good("variables", f"{file} sets {names}: examined without", f"{file} 设置了 {names}：检查时未使用")


def _load_with(config: Path | None, variables: dict[str, str]) -> None:
    """For a child process only: its environment is changed for good."""
    os.environ.update(variables)
    load(config)


def _pairs(text: str) -> Iterator[tuple[str, str]]:
    """Read a file of variables (systemd.exec(5), EnvironmentFile=), without continued lines."""
    for line in text.splitlines():
        name, sign, value = line.strip().partition("=")
        if sign and not name.startswith(("#", ";")):
            yield name.strip(), value.strip().strip("'\"")


def _memory(case: Case) -> Iterator[Finding]:
    total_mib, reserve_mib = Machine(proc=case.around.proc).memory().total_bytes >> 20, case.render.ram_reserve_mib
    if reserve_mib >= total_mib > 0:
        yield bad(
            "render.ram_reserve_mib", f"{reserve_mib} MiB are kept back of {total_mib}: no worker can start",
            f"总共 {total_mib} MiB，却保留 {reserve_mib} MiB：无法启动工作进程", code="E303",
            fix=f"set render.ram_reserve_mib to less than {total_mib // 2}",
            fix_zh=f"将 render.ram_reserve_mib 设为小于 {total_mib // 2}",
        )  # fmt: skip
