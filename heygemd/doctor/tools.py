"""ffmpeg and ffprobe: which ones are found, whether they can do what is asked of them, and who else finds them."""

import os
from collections.abc import Iterator
from pathlib import Path

from heygemd.doctor.case import Case
from heygemd.doctor.finding import Finding, bad, good, warning
from heygemd.doctor.service import DEFAULT_PATH
from heygemd.media.abilities import Abilities, abilities_of, card_refusal, probe_version

INSTALL = "sudo apt-get install ffmpeg"
SEALED = ("/snap/", "/var/lib/snapd/", "/flatpak/")
"""Programs from there see only some folders, and no descriptors of other programs."""


def look(case: Case) -> Iterator[Finding]:
    """Say which ffmpeg is used, and the first thing that is wrong with it."""
    ffmpeg, ffprobe = case.around.program("ffmpeg"), case.around.program("ffprobe")
    if ffmpeg is None or ffprobe is None:
        missing = " and ".join(name for name, path in (("ffmpeg", ffmpeg), ("ffprobe", ffprobe)) if path is None)
        yield bad("ffmpeg", f"{missing} is not in PATH", f"PATH 中找不到 {missing}", code="E403", fix=INSTALL)
        return
    found = abilities_of(ffmpeg)
    if isinstance(found, str):
        yield bad("ffmpeg", f"{ffmpeg}: {found}", f"{ffmpeg} 无法运行", code="E403", **_instead(ffmpeg))
        return
    probe = probe_version(ffprobe)
    if probe is None:
        yield bad("ffmpeg", f"{ffprobe}: it does not run", f"{ffprobe} 无法运行", code="E403", **_instead(ffprobe))
        return
    yield from _judge(case, ffmpeg, ffprobe, found, probe)


def _judge(case: Case, ffmpeg: str, ffprobe: str, found: Abilities, probe: str) -> Iterator[Finding]:
    if (sealed := _sealed(ffmpeg) or _sealed(ffprobe)) is not None:
        yield bad(
            "ffmpeg", f"{sealed} lives in a sandbox (snap, flatpak) and cannot read what it is handed",
            f"{sealed} 运行在沙箱中（snap、flatpak），无法读取传给它的文件", code="E403",
            fix=f"sudo snap remove ffmpeg; {INSTALL}",
        )  # fmt: skip
    elif not found.is_new_enough:
        yield bad(
            "ffmpeg", f"{ffmpeg} is version {found.version}; 5.1 or newer is needed",
            f"{ffmpeg} 版本为 {found.version}，需要 5.1 或更高", code="E403", **_instead(ffmpeg),
        )  # fmt: skip
    elif found.missing:
        missing = ", ".join(found.missing)
        yield bad(
            "ffmpeg", f"{ffmpeg} ({found.version}) was built without {missing}",
            f"{ffmpeg}（{found.version}）缺少 {missing}", code="E403", **_instead(ffmpeg),
        )  # fmt: skip
    elif (hidden := _hidden_from_service(case, ffmpeg, ffprobe)) is not None:
        yield hidden
    elif found.version != probe:
        yield warning(
            "ffmpeg", f"{ffmpeg} is version {found.version}, but {ffprobe} is {probe}",
            f"{ffmpeg} 版本为 {found.version}，而 {ffprobe} 为 {probe}", code="E403", **_instead(ffmpeg),
        )  # fmt: skip
    else:
        yield good("ffmpeg", f"{found.version} at {ffmpeg}", f"{found.version}，位于 {ffmpeg}")
        if found.wanting:
            yield _partial(ffmpeg, found)
        if case.render.encoder == "nvenc":
            yield _card_encoder(ffmpeg, found)
    if len(others := _all_of(case, "ffmpeg")) > 1:
        yield good("ffmpeg", f"there are several: {', '.join(map(str, others))}; the first one is used",
                   f"有多个：{'、'.join(map(str, others))}，使用第一个")  # fmt: skip


def _partial(ffmpeg: str, found: Abilities) -> Finding:
    wanting = ", ".join(found.wanting)
    return warning(
        "ffmpeg", f"{ffmpeg} has no {wanting}: such files are refused", f"{ffmpeg} 缺少 {wanting}：这类文件会被拒绝",
        code="E101", **_instead(ffmpeg),
    )  # fmt: skip


def _card_encoder(ffmpeg: str, found: Abilities) -> Finding:
    """Say whether a card can write films, as `render.encoder` wishes; films are made all the same."""
    lacking = ", ".join(found.wanting_on_cards)
    reason = f"{ffmpeg} was built without {lacking}" if lacking else card_refusal(ffmpeg)
    if not reason:
        return good("encoder", "a graphics card writes films (NVENC)", "由显卡编码视频（NVENC）")
    return warning(
        "encoder", f"render.encoder is nvenc, but films are made with x264: {reason}",
        f"render.encoder 为 nvenc，但会改用 x264 制作：{reason}", code="E304",
        fix='set render.encoder = "x264"; or use a card with NVENC (not A100, H100, H200) and an ffmpeg built for it',
        fix_zh='设置 render.encoder = "x264"；或使用带 NVENC 的显卡（A100、H100、H200 没有）及支持它的 ffmpeg',
    )  # fmt: skip


def _instead(program: str) -> dict[str, str]:
    """How to come to a good one: another one in front of the system's must go."""
    if program.startswith("/usr/bin/"):
        return {"fix": INSTALL}
    return {
        "fix": f"{INSTALL}; then remove {program}, or put /usr/bin before it in PATH",
        "fix_zh": f"{INSTALL}；然后删除 {program}，或在 PATH 中将 /usr/bin 放在它之前",
    }


def _sealed(program: str) -> str | None:
    real = str(Path(program).resolve())
    return program if any(part in f"{place}/" for part in SEALED for place in (program, real)) else None


def _hidden_from_service(case: Case, *programs: str) -> Finding | None:
    """A service has a PATH of its own, and sees no home directory when it is told so."""
    if case.service.file is None:
        return None
    own = next((value for name, value in case.service.variables() if name == "PATH"), DEFAULT_PATH)
    for program in programs:
        name = Path(program).name
        if not any((Path(folder) / name).exists() for folder in own.split(":")):
            return bad(
                "ffmpeg",
                f"{program} is not in the PATH of the service ({own})",
                f"{program} 不在服务的 PATH 中（{own}）",
                code="E403", fix=INSTALL,
            )  # fmt: skip
    return None


def _all_of(case: Case, name: str) -> list[Path]:
    """Every program of that name in PATH, each once."""
    path = os.environ.get("PATH", os.defpath) if case.around.search_path is None else case.around.search_path
    found: dict[Path, Path] = {}
    for folder in path.split(":"):
        program = Path(folder) / name
        if folder and program.is_file() and os.access(program, os.X_OK):
            found.setdefault(program.resolve(), program)
    return list(found.values())
