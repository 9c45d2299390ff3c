"""Networks: those that ship with the program against their hashes, and those that the operator put into models_dir."""

import sys
from collections.abc import Iterator
from pathlib import Path

from heygemd import __version__, catalogue
from heygemd.catalogue import CATALOGUE_FILE, LEAST_WEIGHTS_BYTES, Model
from heygemd.doctor.account import R, X
from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, Level, bad, from_error, good, warning
from heygemd.doctor.rights import refusals
from heygemd.errors import HeygemdError
from heygemd.filesystem import sha256_of
from heygemd.jobs.job import EngineName
from heygemd.modelform import form_of
from heygemd.scheduler.devices import find_devices


def look_at_shipped(case: Case) -> Iterator[Finding]:
    """Hash what came with the program."""
    del case
    shipped = [model for model in catalogue.models() if model.shipped]
    wrong = [finding for model in shipped if (finding := _shipped(model)) is not None]
    yield from wrong
    if not wrong:
        names = ", ".join(model.name for model in shipped)
        yield good("shipped models", f"{names}: as listed", f"{names}：与清单一致")


def look(case: Case) -> Iterator[Finding]:
    """Look at every file of models_dir that bears a listed name, and say which engine films get."""
    if case.settings is None:
        return
    folder = case.settings.models_dir
    wrong = False
    for finding in _own(case, folder):
        wrong = wrong or finding.level is Level.BAD
        yield finding
    if not wrong:
        engine = _engine(case, folder)
        yield engine
        if engine.level is not Level.BAD:
            yield _tracker(case, folder)


def _shipped(model: Model) -> Finding | None:
    file = CATALOGUE_FILE.parent / model.file
    subject = f"model {model.name}"
    again = f"{Path(sys.prefix) / 'bin' / 'pip'} install --force-reinstall --no-deps heygemd=={__version__}"
    fix, fix_zh = f"install heygemd again: {again}", f"请重新安装 heygemd：{again}"
    try:
        size_bytes = file.stat().st_size
        strange = _flaw(file, model)
        sha256 = sha256_of(file)
    except OSError as error:
        return bad(subject, f"{file}: {error.strerror}", code="E402", fix=fix, fix_zh=fix_zh)
    if sha256 == model.sha256:
        return None
    words, words_zh = strange or _difference(model, size_bytes)
    return bad(subject, f"{file} {words}", f"{file} {words_zh}", code="E409", fix=fix, fix_zh=fix_zh)


def _own(case: Case, folder: Path) -> Iterator[Finding]:
    try:
        names = {entry.name for entry in folder.iterdir()}
    except FileNotFoundError:
        if case.settings is not None and "models_dir" in case.settings.model_fields_set:
            yield warning(
                "models_dir", f"{folder} does not exist", f"{folder} 不存在", code="E402",
                fix=f"sudo install -d -o {case.account_name} {folder}; or correct models_dir",
                fix_zh=f"sudo install -d -o {case.account_name} {folder}；或更正 models_dir",
            )  # fmt: skip
        return
    except OSError as error:
        yield bad("models_dir", f"{folder}: {error.strerror}", code="E402", fix=f"ls -ld {folder}; correct models_dir")
        return
    listed = [model for model in catalogue.models() if not model.shipped and model.file in names]
    closed = refusals([(folder, R | X), *((folder / model.file, R) for model in listed)], case.account)
    for refused in sorted(set(closed.values())):
        yield bad(
            "models_dir", f"{case.account_name} may not read {refused}", f"用户 {case.account_name} 无权读取 {refused}",
            code="E402", fix=f"sudo chmod o+rX {refused}",
        )  # fmt: skip
    for model in listed:
        if not {folder, folder / model.file} & closed.keys():
            yield _weights(case, folder / model.file, model)


def _weights(case: Case, file: Path, model: Model) -> Finding:
    """Judge one file: what it begins with, how long it is, whether it ends, and its hash."""
    subject = f"model {model.name}"
    fix, fix_zh = _anew(file, model)
    try:
        size_bytes = file.stat().st_size
        strange = _flaw(file, model)
        if strange is not None:
            return bad(subject, f"{file} {strange[0]}", f"{file} {strange[1]}", code="E409", fix=fix, fix_zh=fix_zh)
        if model.sha256 is None or case.is_quick:
            return good(subject, f"{file}, {size_bytes} bytes; no hash is listed for it", f"{file}，{size_bytes} 字节")
        sha256 = sha256_of(file)
    except OSError as error:
        return bad(subject, f"{file}: {error.strerror}", code="E402", fix=f"ls -l {file}")
    if sha256 in {entry.sha256 for entry in catalogue.models()}:
        return good(subject, f"{file}: as listed", f"{file}：与清单一致")
    words, words_zh = _difference(model, size_bytes)
    if size_bytes == model.size_bytes:
        return bad(subject, f"{file} {words}", f"{file} {words_zh}", code="E409", fix=fix, fix_zh=fix_zh)
    return warning(
        subject, f"{file} {words}: a cut download, or a training of somebody's own",
        f"{file} {words_zh}：下载不完整，或是自行训练的模型", code="E409",
        fix=f"compare with its source; or {fix}", fix_zh=f"请与来源核对；或 {fix_zh}",
    )  # fmt: skip


def _anew(file: Path, model: Model) -> tuple[str, str]:
    if model.url is not None:
        return (f"rm {file} && heygemd models pull {model.name}",) * 2
    return (
        f"rm {file}; copy it again from its source (heygemd models list says which)",
        f"rm {file}；从来源重新复制（来源见 heygemd models list）",
    )


def _difference(model: Model, size_bytes: int) -> tuple[str, str]:
    if model.size_bytes is not None and size_bytes != model.size_bytes:
        return (
            f"has {size_bytes} bytes instead of {model.size_bytes}",
            f"大小为 {size_bytes} 字节，应为 {model.size_bytes}"
        )  # fmt: skip
    return "is as long as the listed file, but not the same (sha256)", "大小一致但内容不同（sha256 不符）"


def _flaw(file: Path, model: Model) -> tuple[str, str] | None:
    """Tell by beginning, end and length what cannot be this model; None: nothing speaks against it."""
    with file.open("rb") as handle:
        form = form_of(handle)
    if form.flaw and not form.is_cut:
        return f"is no model: {form.flaw}", f"不是模型文件：{form.flaw}"
    size_bytes = file.stat().st_size
    if form.is_cut or (model.engine == "wav2lip" and size_bytes < LEAST_WEIGHTS_BYTES):
        of = f" of {model.size_bytes}" if model.size_bytes and model.size_bytes > size_bytes else ""
        return f"is cut off: {size_bytes}{of} bytes", f"不完整：只有 {size_bytes}{of.replace(' of ', '/')} 字节"
    return None


def _engine(case: Case, folder: Path) -> Finding:
    if case.is_quick:
        return good("engine", case.render.engine)
    try:
        choice = catalogue.choose_engine(EngineName(case.render.engine), folder)
    except HeygemdError as error:
        return from_error(
            "engine", error,
            fix=f"heygemd models list; put the weights into {folder}, or set render.engine = \"atlas\"",
            fix_zh=f"heygemd models list；将权重放入 {folder}，或设置 render.engine = \"atlas\"",
        )  # fmt: skip
    weights = f" with {choice.weights.name} ({choice.weights_sha256})" if choice.weights else ""
    return good("engine", f"{choice.name}{weights}")


def _tracker(case: Case, folder: Path) -> Finding:
    """Say who follows the faces of the engine that films get, and why."""
    if case.is_quick:
        return good("tracker", case.render.tracker)
    try:
        engine = catalogue.choose_engine(EngineName(case.render.engine), folder).name
        device = _card(case) if engine is EngineName.WAV2LIP and case.render.device != "cpu" else "cpu"
        choice = catalogue.choose_tracker(engine, device, case.render, models_dir=folder)
    except HeygemdError as error:
        pull = 'heygemd models pull NAME (heygemd models list says which), or set render.tracker = "auto"'
        return from_error("tracker", error, fix=pull, fix_zh=pull)
    return good("tracker", f"{choice.name} ({choice.reason})")


def _card(case: Case) -> str:
    """Name the first card; `cpu` without one, or where the driver does not answer, which is told elsewhere."""
    try:
        return next((device.label for device in find_devices(case.around.nvml) if device.kind == "cuda"), "cpu")
    except HeygemdError:
        return "cpu"
