"""`heygemd submit`: brings files and a manifest for them into an inbox, and waits for the films if asked to."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heygemd.commands.completion import complete_root
from heygemd.commands.console import EXIT_JOB_FAILED, emit_json, err, explained, usage
from heygemd.commands.options import ConfigOption, FaceChoiceOption, JsonOption, set_up_log, settings_of
from heygemd.errors import SetupError
from heygemd.jobs.job import EngineName, LengthPolicy, SilenceRule
from heygemd.language import said
from heygemd.limits import X264Preset

if TYPE_CHECKING:
    from heygemd.jobs.choice import OptionChoice
    from heygemd.jobs.roots import Root
    from heygemd.settings import Settings
    from heygemd.submitting.delivery import Delivered, Way
    from heygemd.submitting.inputs import InputLook
    from heygemd.submitting.order import Order
    from heygemd.submitting.writing import Target

MIB = 1 << 20


def submit(
    files: Annotated[
        list[Path] | None, typer.Argument(help="VIDEO AUDIO [VIDEO AUDIO …]: picture and sound of each film.")
    ] = None,
    manifest: Annotated[
        Path | None, typer.Option("--manifest", "-m", help="A manifest on this machine, with the files it names.")
    ] = None,
    from_dir: Annotated[
        list[Path] | None, typer.Option("--from-dir", help="Every pair in this folder and below; may be repeated.")
    ] = None,
    to: Annotated[
        Path | None,
        typer.Option("--to", help="The root; needed unless exactly one is configured.", autocompletion=complete_root),
    ] = None,
    folder: Annotated[str | None, typer.Option("--folder", help="Sub-folder of inbox and outbox.")] = None,
    name: Annotated[str | None, typer.Option("--name", help="Name of the film; of several: of the order.")] = None,
    priority: Annotated[int | None, typer.Option(min=-1000, max=1000, help="Larger is sooner.")] = None,
    engine: Annotated[EngineName | None, typer.Option(help="Which renderer.")] = None,
    length: Annotated[LengthPolicy | None, typer.Option(help="When sound and picture differ in length.")] = None,
    silence: Annotated[SilenceRule | None, typer.Option(help="What the mouth does in silence.")] = None,
    audio_offset_ms: Annotated[
        int | None, typer.Option(min=-60_000, max=60_000, help="Mouth later than sound.")
    ] = None,
    face: FaceChoiceOption = None,
    idle_motion: Annotated[
        bool | None, typer.Option("--idle-motion/--no-idle-motion", help="A still picture blinks and sways a little.")
    ] = None,
    detail: Annotated[
        bool | None, typer.Option("--detail/--no-detail", help="wav2lip: the mouth gets the source's fine texture.")
    ] = None,
    crf: Annotated[int | None, typer.Option(min=0, max=40, help="x264 quality; 0 is lossless.")] = None,
    preset: Annotated[X264Preset | None, typer.Option(help="x264 preset.")] = None,
    link: Annotated[bool, typer.Option("--link", help="Hard links instead of copies, where that can be.")] = False,
    move: Annotated[
        bool, typer.Option("--move", help="Move the files into the inbox instead of copying them.")
    ] = False,
    wait: Annotated[bool, typer.Option("--wait", "-w", help="Wait until every film is there, or has failed.")] = False,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Order films: bring their files into an inbox, with a manifest that says what is to be made of them."""
    from heygemd.jobs.choice import OptionChoice  # noqa: PLC0415
    from heygemd.submitting.delivery import Way  # noqa: PLC0415

    if sum((bool(files), manifest is not None, bool(from_dir))) != 1:
        usage("give VIDEO AUDIO [VIDEO AUDIO …], or --manifest FILE, or --from-dir DIR")
    if link and move:
        usage("--link and --move exclude each other")
    options = OptionChoice(
        engine=engine,
        length=length,
        silence=silence,
        audio_offset_ms=audio_offset_ms,
        face=face,
        idle_motion=idle_motion,
        detail=detail,
        crf=crf,
        preset=preset,
    )
    if manifest is not None and (name or priority is not None or options != OptionChoice()):
        usage("--manifest says names, priorities and options itself")
    way = Way.LINK if link else Way.MOVE if move else Way.COPY
    with explained(as_json=json_output), _stoppable():
        settings, root = _root(config, to)
        set_up_log(settings, level="warning")
        order = _order(files, manifest, from_dir, name, options, priority, settings)
        _deliver(order, root, folder, settings, way=way, wait=wait, json_output=json_output)


def _deliver(
    order: "Order", root: "Root", folder: str | None, settings: "Settings", *, way: "Way", wait: bool, json_output: bool
) -> None:
    from heygemd.commands.waiting import print_ends, wait_for  # noqa: PLC0415
    from heygemd.submitting.delivery import Rules, deliver  # noqa: PLC0415
    from heygemd.submitting.following import known_batches  # noqa: PLC0415
    from heygemd.submitting.inputs import look_at_all  # noqa: PLC0415
    from heygemd.submitting.writing import needs_commit, target_of  # noqa: PLC0415

    for warning in order.warnings:
        err.print(said(f"left out: {warning}", f"未包含：{warning}"), highlight=False, markup=False, soft_wrap=True)
    looks = look_at_all(order)
    target = target_of(root, folder, list(looks.values()))
    rules = Rules(
        limits=_limits(settings),
        reserve_bytes=settings.intake.reserve_mib * MIB,
        needs_commit=needs_commit(target, settings.intake.require_commit),
    )
    before = known_batches(target, order.name)
    with _copy_bar(looks, is_quiet=json_output) as on_copy:
        delivered = deliver(order, looks, target, rules, way=way, on_copy=on_copy)
    told = _told(order, delivered, target)
    if not json_output:
        _print(told, delivered)
    report = wait_for(target, delivered.stem, before, is_quiet=json_output) if wait else None
    if report is not None:
        told["rows"] = report["rows"]
        told["totals"] = report["totals"]
    if json_output:
        emit_json(told)
    if report is not None and not print_ends(report, target, is_quiet=json_output):
        raise typer.Exit(EXIT_JOB_FAILED)


def _root(config: Path | None, to: Path | None) -> "tuple[Settings, Root]":
    """Return the settings and the root that is meant; an installed configuration this user may not read is left out."""
    from heygemd.commands.stores import need_root  # noqa: PLC0415

    try:
        settings = settings_of(config)
    except SetupError:
        if config is not None or to is None:
            raise
        settings = settings_of(None, [to])
    if to is None and len(settings.roots) != 1:
        usage("which root? give --to ROOT" + "".join(f"\n  --to {path}" for path in settings.roots))
    return settings, need_root(to or settings.roots[0])


def _limits(settings: "Settings") -> Any:  # noqa: ANN401  # ManifestLimits, which is loaded only now
    from heygemd.intake.manifests.model import ManifestLimits  # noqa: PLC0415

    intake = settings.intake
    return ManifestLimits(max_bytes=int(intake.max_manifest_mib * MIB), max_rows=intake.max_manifest_rows)


def _order(
    files: list[Path] | None,
    manifest: Path | None,
    from_dir: list[Path] | None,
    name: str | None,
    options: "OptionChoice",
    priority: int | None,
    settings: "Settings",
) -> "Order":
    from heygemd.submitting.order import of_folders, of_manifest, of_pairs  # noqa: PLC0415

    for path in (*(files or ()), *([manifest] if manifest else ())):
        if not path.is_file():
            usage(f"{path} is not a file")
    for path in from_dir or ():
        if not path.is_dir():
            usage(f"--from-dir: {path} is not a folder")
    if files:
        if len(files) % 2:
            usage(f"{len(files)} files: a picture and a sound are needed for each film, in this order")
        return of_pairs(files, name=name, options=options, priority=priority)
    if manifest is not None:
        return of_manifest(manifest, _limits(settings))
    return of_folders(from_dir or (), name=name, options=options, priority=priority)


def _told(order: "Order", delivered: "Delivered", target: "Target") -> dict[str, Any]:
    from heygemd.naming import printable  # noqa: PLC0415
    from heygemd.outbox.names import mirrored  # noqa: PLC0415

    outbox = target.root.outbox.joinpath(*mirrored(target.folder))
    return {
        "batch": delivered.stem,
        "manifest": str(delivered.manifest),
        "root": str(target.root.path),
        "folder": target.folder,
        "films": [str(outbox / wish.output) for wish in order.wishes],
        "files": [
            {"source": printable(str(one.source)), "name": one.name, "how": one.way.value, "size_bytes": one.size_bytes}
            for one in delivered.members
        ],
    }


def _print(told: dict[str, Any], delivered: "Delivered") -> None:
    from heygemd.naming import printable  # noqa: PLC0415

    count = len(told["films"])
    text = said(
        f"{count} {'film' if count == 1 else 'films'} ordered as {told['batch']}",
        f"已提交 {count} 个视频，名称 {told['batch']}",
    )
    err.print(text, highlight=False, markup=False, soft_wrap=True)
    for path in delivered.left:
        text = said(f"{path} was copied; this user may not delete it", f"{path} 已复制，但当前用户无权删除原文件")
        err.print(printable(text), highlight=False, markup=False, soft_wrap=True)
    for one in delivered.members:
        if one.name.rpartition("/")[2] != one.source.name:
            text = said(
                f"{one.source.name} is called {one.name} in the inbox", f"{one.source.name} 在 inbox 中名为 {one.name}"
            )
            err.print(printable(text), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _copy_bar(looks: "dict[Path, InputLook]", *, is_quiet: bool) -> Iterator[Any]:
    """Show how far the copying is, on a terminal."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    total = sum(look.size_bytes for look in {look.path: look for look in looks.values()}.values())
    with Progress(*columns, console=err, transient=True, disable=is_quiet or not err.is_terminal) as progress:
        task = progress.add_task(said("copying", "复制"), total=total)
        yield lambda count: progress.advance(task, count)


@contextmanager
def _stoppable() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end the work as Ctrl-C does, so that they leave nothing behind, either."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        raise KeyboardInterrupt

    before = {}
    with suppress(ValueError):  # not in the main thread: a test, which sends no signals
        before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(submit)
