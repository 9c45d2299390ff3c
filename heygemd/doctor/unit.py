"""The systemd service: is the installed unit the one of this version, may it write where it must, how does it do?"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from heygemd import __version__
from heygemd.doctor.account import R
from heygemd.doctor.case import INSTALLED_CONFIG, Case
from heygemd.doctor.devices import has_card
from heygemd.doctor.finding import Finding, bad, good, warning
from heygemd.doctor.rights import refusals
from heygemd.doctor.service import Line, Service, parse
from heygemd.doctor.surroundings import PACKAGE, UNIT_NAME, answer_of

RELOAD = "sudo systemctl daemon-reload && sudo systemctl restart heygemd"
DROP_INS = f"/etc/systemd/system/{UNIT_NAME}.d"
MOST_LINES = 4
OFTEN = 3
OFF = ("", "no", "false", "off", "0")
HOMES = ("/home", "/root", "/run/user")
_BASES = {"StateDirectory": "/var/lib", "LogsDirectory": "/var/log", "CacheDirectory": "/var/cache",
          "RuntimeDirectory": "/run"}  # fmt: skip


def look(case: Case) -> Iterator[Finding]:
    """Judge file, sandbox and state of the service."""
    service = case.service
    if service.file is None:
        where = "" if case.around.has_systemd else "; systemd does not run here"
        yield good("unit", f"no service is installed{where}", "未安装服务")
        return
    yield from _drift(service, case.around.shipped_unit)
    yield from _program(service)
    yield from _state(service)
    yield from _config(case)
    if case.is_of_service:
        yield from _sandbox(case)
    if not (case.around.var / "log/journal").is_dir():
        yield good("journal", "in memory only: lost when the machine restarts (sudo mkdir /var/log/journal keeps it)",
                   "仅保存在内存中，重启后丢失（sudo mkdir /var/log/journal）")  # fmt: skip


def _drift(service: Service, shipped: Path | None) -> Iterator[Finding]:
    if service.drop_ins:
        listed = ", ".join(map(str, service.drop_ins))
        yield good("unit drop-ins", listed)
    if shipped is None:
        yield good(
            "unit", f"{service.file}; this program brings none to compare", f"{service.file}；无可比较的单元文件"
        )
        return
    ours = Counter(parse(shipped.read_text(encoding="utf-8")))
    theirs = Counter(service.lines)
    missing, more = ours - theirs, theirs - ours
    if missing or more:
        listed = "; ".join([*(f"lacks {text}" for text in _told(missing)), *(f"has {text}" for text in _told(more))])
        listed_zh = "；".join([*(f"缺少 {text}" for text in _told(missing)), *(f"多出 {text}" for text in _told(more))])
        yield warning(
            "unit", f"{service.file} is not the one of heygemd {__version__}: it {listed}",
            f"{service.file} 与 heygemd {__version__} 的单元文件不一致：{listed_zh}", code="E401",
            fix=f"sudo install -m 0644 {shipped} {service.file} && {RELOAD}; own changes belong into a drop-in: "
                "sudo systemctl edit heygemd",
            fix_zh=f"sudo install -m 0644 {shipped} {service.file} && {RELOAD}；"
                   "自定义修改请用 sudo systemctl edit heygemd",
        )  # fmt: skip
    else:
        yield good("unit", f"{service.file}, of this version", f"{service.file}，与本版本一致")
    if service.state.get("NeedDaemonReload") == "yes":
        yield warning(
            "unit",
            "systemd has not read the present files yet",
            "systemd 尚未读取当前单元文件",
            code="E401",
            fix=RELOAD,
        )


def _told(lines: Counter[Line]) -> list[str]:
    shown = [f"{key}={value}" for _, key, value in list(lines)[:MOST_LINES]]
    return shown + [f"… ({len(lines) - MOST_LINES})"] * (len(lines) > MOST_LINES)


def _program(service: Service) -> Iterator[Finding]:
    """What it starts must be there, and be this version."""
    program = service.program
    if program is None or not program.is_absolute():
        return
    if not program.exists():
        yield bad(
            "unit", f"it starts {program}, which is not there", f"服务启动 {program}，但该文件不存在", code="E401",
            fix="sudo scripts/install.sh (of the heygemd sources), or correct ExecStart",
            fix_zh="运行 heygemd 源码中的 sudo scripts/install.sh，或更正 ExecStart",
        )  # fmt: skip
        return
    if "heygemd" not in program.name or PACKAGE.is_relative_to(program.resolve().parent.parent):
        return
    told = answer_of(str(program), "--version")
    version = (told or "").strip().removeprefix("heygemd ")
    if version and version != __version__:
        yield warning(
            "unit", f"the service is heygemd {version} ({program}), this is {__version__} ({PACKAGE})",
            f"服务版本为 {version}（{program}），当前程序为 {__version__}（{PACKAGE}）", code="E401",
            fix=f"run the service's own doctor: sudo {program} doctor; or upgrade it with scripts/install.sh",
            fix_zh=f"运行服务自带的检查：sudo {program} doctor；或用 scripts/install.sh 升级",
        )  # fmt: skip


def _state(service: Service) -> Iterator[Finding]:
    state = service.state
    if not state:
        return
    active, restarts = state.get("ActiveState", ""), int(state.get("NRestarts") or 0)
    if active == "failed":
        why = f"{state.get('Result', '')}, status {state.get('ExecMainStatus', '')}"
        yield bad(
            "service", f"it has failed ({why})", f"服务已失败（{why}）", code="E401",
            fix="journalctl -u heygemd -n 50 says why; then: sudo systemctl reset-failed heygemd && "
                "sudo systemctl restart heygemd",
            fix_zh="原因见 journalctl -u heygemd -n 50；然后：sudo systemctl reset-failed heygemd && "
                   "sudo systemctl restart heygemd",
        )  # fmt: skip
    elif active == "activating" and state.get("SubState") == "auto-restart":
        yield bad(
            "service", f"it ends again and again ({restarts} restarts)", f"服务反复退出（已重启 {restarts} 次）",
            code="E500", fix="journalctl -u heygemd -n 100",
        )  # fmt: skip
    elif restarts >= OFTEN:
        yield warning(
            "service",
            f"{active}, but systemd had to restart it {restarts} times",
            f"{active}，但已被重启 {restarts} 次",
            code="E500", fix="journalctl -u heygemd -p warning",
        )  # fmt: skip
    elif active == "inactive":
        yield warning("service", "it is not running", "服务未运行", code="E401", fix="sudo systemctl start heygemd")
    else:
        text = state.get("StatusText", "")
        yield good("service", f"{active}{': ' + text if text else ''}")
    if state.get("UnitFileState") == "disabled" and active != "failed":
        yield warning(
            "service", "it does not start with the machine", "服务不会随系统启动", code="E401",
            fix="sudo systemctl enable heygemd",
        )  # fmt: skip


def _config(case: Case) -> Iterator[Finding]:
    """The service must be able to read what it is configured with; root always can."""
    service = case.service
    files = [service.config or case.around.etc / INSTALLED_CONFIG]
    for refused in refusals([(file, R) for file in files], case.account).values():
        yield bad(
            "configuration",
            f"{case.account_name} may not read {refused}",
            f"用户 {case.account_name} 无权读取 {refused}",
            code="E401", fix=f"sudo chgrp {case.account_name} {refused} && sudo chmod g+rX {refused}",
        )  # fmt: skip


def _sandbox(case: Case) -> Iterator[Finding]:
    """Everything that the daemon writes must be open in its sandbox, whatever owner and mode say."""
    service = case.service
    closed = [(what, place) for what, place in _written(case) if not _is_open(service, place)]
    for what, place in closed:
        yield _shut(service, what, place)
    if not closed:
        yield good("unit sandbox", "everything that is written is open to it", "需要写入的目录均已开放")
    if case.render.device != "cpu" and has_card(case) and not _sees_cards(service):
        yield bad(
            "unit", "the service may not open the graphics card (DevicePolicy without DeviceAllow)",
            "服务无权打开显卡（DevicePolicy 未配合 DeviceAllow）", code="E406",
            fix=f"printf '[Service]\\nDeviceAllow=char-nvidia rwm\\nDeviceAllow=char-nvidia-uvm rwm\\n' | "
                f"sudo tee {DROP_INS}/cards.conf && {RELOAD}",
        )  # fmt: skip


def _shut(service: Service, what: str, place: Path) -> Finding:
    drop_in = f"{DROP_INS}/{'-'.join(place.parts[1:]) or 'root'}.conf"
    lines = f"[Service]\\nReadWritePaths=-{place}\\n"
    if _is_home(place) and service.value("ProtectHome") not in OFF:
        return bad(
            "unit", f"{what} {place} lies in a home directory, which the service does not see (ProtectHome)",
            f"{what} {place} 位于主目录，服务无法访问（ProtectHome）", code="E401",
            fix="choose a folder below /srv or /var/lib; or "
                f"printf '{lines}ProtectHome=no\\n' | sudo tee {drop_in} && {RELOAD}",
        )  # fmt: skip
    return bad(
        "unit", f"{what} {place} is read-only for the service (ReadWritePaths does not name it)",
        f"{what} {place} 对服务为只读（ReadWritePaths 未包含）", code="E401",
        fix=f"sudo mkdir -p {DROP_INS} && printf '{lines}' | sudo tee {drop_in} && {RELOAD}",
    )  # fmt: skip


def _written(case: Case) -> Iterator[tuple[str, Path]]:
    settings = case.settings
    if settings is None:
        return
    for root in settings.roots:
        yield "root", root.absolute()
    if settings.state_dir is not None:
        yield "state_dir", settings.state_dir
    if settings.log_file is not None:
        yield "the folder of log_file", settings.log_file.parent
    if settings.metrics_file is not None:
        yield "the folder of metrics_file", settings.metrics_file.parent


def _is_open(service: Service, place: Path) -> bool:
    """Judge as systemd does: what is closed for all, then what the unit opens again."""
    if _is_home(place) and service.value("ProtectHome") not in OFF:
        return False
    protected = service.value("ProtectSystem")
    if protected != "strict":
        closed = ("/usr", "/boot", "/efi", *(("/etc",) if protected == "full" else ())) if protected not in OFF else ()
        return not any(place.is_relative_to(folder) for folder in closed)
    named = [Path(word.lstrip("-+")) for word in (*service.words("ReadWritePaths"), *service.words("BindPaths"))]
    made = [folder for key, base in _BASES.items() for folder in service.folders(key, base)]
    return any(place.is_relative_to(folder) for folder in (*named, *made))


def _is_home(place: Path) -> bool:
    return any(place.is_relative_to(home) for home in HOMES)


def _sees_cards(service: Service) -> bool:
    if service.value("PrivateDevices") in ("yes", "true"):
        return False
    if service.value("DevicePolicy", "auto") == "auto" and not service.values.get("DeviceAllow"):
        return True
    return any("nvidia" in value for value in service.values.get("DeviceAllow", ()))
