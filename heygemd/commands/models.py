"""`heygemd models list | pull | verify | convert`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape

from heygemd.commands.console import EXIT_SETUP, emit_json, err, explained, out, usage
from heygemd.commands.options import ConfigOption, JsonOption, set_up_log, settings_of
from heygemd.language import said

if TYPE_CHECKING:
    from heygemd.modellist import Model
    from heygemd.models.pulling import Pulled
    from heygemd.models.shelf import Standing


def _complete(incomplete: str) -> list[str]:
    from heygemd.modellist import models  # noqa: PLC0415  # commands load only what they need

    return [model.name for model in models() if model.name.startswith(incomplete)]


NamesArgument = Annotated[list[str] | None, typer.Argument(help="Names of the catalogue.", autocompletion=_complete)]
DirOption = Annotated[
    Path | None, typer.Option("--dir", help="Models directory, instead of the one of the configuration.")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Put the new file in the place of one that is there.")]


def list_models(config: ConfigOption = None, directory: DirOption = None, json_output: JsonOption = False) -> None:
    """Show every model: its licence, how it stands, and which one `auto` takes."""
    from heygemd.models.shelf import auto_choice, look  # noqa: PLC0415
    from heygemd.models.tables import auto_line, list_table  # noqa: PLC0415

    with explained(as_json=json_output):
        models_dir = _models_dir(config, directory)
        standings = look(models_dir)
        choice = auto_choice(models_dir)
    taken = choice.model.name if choice.model else None
    if json_output:
        auto = {"engine": choice.engine.value, "model": taken}
        rows = [standing.as_dict() for standing in standings]
        emit_json({"models_dir": str(models_dir), "auto": auto, "models": rows})
        return
    out().print(list_table(standings, taken))
    out().print(auto_line(choice, standings, models_dir), highlight=False, markup=False, soft_wrap=True)


def verify(
    names: NamesArgument = None,
    config: ConfigOption = None,
    directory: DirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Hash the models that ship and those that were brought; exit 78 when one is wrong."""
    from heygemd.models.shelf import BAD, State, look  # noqa: PLC0415

    wanted = [_named(name) for name in names] if names else None
    with explained(as_json=json_output):
        models_dir = _models_dir(config, directory)
        found = look(models_dir, wanted)
    shown = [standing for standing in found if wanted or standing.state is not State.ABSENT]
    bad = BAD | ({State.ABSENT} if wanted else set())
    if json_output:
        rows = [{**standing.as_dict(), "is_good": standing.state not in bad} for standing in shown]
        emit_json({"models_dir": str(models_dir), "models": rows})
    else:
        for standing in shown:
            _tell(standing, is_good=standing.state not in bad)
    raise typer.Exit(EXIT_SETUP if any(standing.state in bad for standing in shown) else 0)


def pull(
    name: Annotated[str | None, typer.Argument(help="Name of the catalogue.", autocompletion=_complete)] = None,
    all_of: Annotated[str | None, typer.Option("--all-of", help="All models of this engine with an address.")] = None,
    url: Annotated[str | None, typer.Option(help="Address of the file, where the catalogue has none.")] = None,
    config: ConfigOption = None,
    directory: DirOption = None,
    accept_licence: Annotated[
        bool, typer.Option("--accept-licence", help="Agree to a licence that forbids commercial use.")
    ] = False,
    convert_after: Annotated[bool, typer.Option("--convert", help="Also make the stripped form.")] = False,
    half: Annotated[bool, typer.Option("--half", help="The stripped form in 16 bits.")] = False,
    replace: ReplaceOption = False,
    json_output: JsonOption = False,
) -> None:
    """Fetch a model into the models directory; goes on where an earlier try stopped."""
    wanted = _wanted(name, all_of, url)
    done: list[dict[str, object]] = []
    kept = said(
        "stopped; what came so far is kept, and the same command goes on with it",
        "已停止；已下载的部分保留，重新运行同一命令即可继续",
    )
    with explained(as_json=json_output, on_interrupt=kept):
        models_dir = _models_dir(config, directory)
        for model in wanted:
            _agree(model, accepted=accept_licence, may_ask=not json_output)
            pulled = _pull_one(model, url, models_dir, replace=replace, quiet=json_output)
            done.append({**asdict(pulled), "model": model.name, "path": str(pulled.path)})
            if convert_after and model.converts_to:
                done[-1]["converted"] = _convert_one(
                    pulled.path, None, models_dir, half=half, replace=replace, quiet=json_output
                )
    if json_output:
        emit_json({"models_dir": str(models_dir), "pulled": done})


def convert(
    file: Annotated[Path, typer.Argument(help="A Wav2Lip checkpoint, or a name of the catalogue.")],
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Where the stripped file goes.")] = None,
    half: Annotated[bool, typer.Option("--half", help="Store in 16 bits: half the size.")] = False,
    replace: ReplaceOption = False,
    config: ConfigOption = None,
    directory: DirOption = None,
    json_output: JsonOption = False,
) -> None:
    """Make stripped safetensors (145 MB) of a Wav2Lip checkpoint, checked tensor by tensor."""
    from heygemd.modellist import model_named  # noqa: PLC0415

    if output is not None and output.suffix != ".safetensors":
        usage(f"--output: {output} must end in .safetensors")
    with explained(as_json=json_output):
        models_dir = _models_dir(config, directory)
        model = model_named(str(file))
        if model is not None and not file.exists():
            file = models_dir / model.file
        done = _convert_one(file, output, models_dir, half=half, replace=replace, quiet=json_output)
    if json_output:
        emit_json(done)


def _models_dir(config: Path | None, directory: Path | None) -> Path:
    settings = settings_of(config)
    set_up_log(settings, level="error")
    return (directory or settings.models_dir).absolute()


def _named(name: str) -> "Model":
    import difflib  # noqa: PLC0415

    from heygemd.modellist import model_named, models  # noqa: PLC0415

    model = model_named(name)
    if model is None:
        near = difflib.get_close_matches(name, [model.name for model in models()], n=1)
        hint = said(f" (did you mean {near[0]}?)", f"（是否指 {near[0]}？）") if near else ""
        usage(said(f"the catalogue has no {name}", f"目录中没有 {name}") + hint)
    return model


def _wanted(name: str | None, all_of: str | None, url: str | None) -> list["Model"]:
    from heygemd.modellist import models  # noqa: PLC0415

    if (name is None) == (all_of is None):
        usage(said("give either a NAME or --all-of ENGINE", "请给出名称，或使用 --all-of 引擎"))
    if name is not None:
        model = _named(name)
        if model.shipped:
            usage(said(f"{model.name} ships with heygemd", f"{model.name} 随 heygemd 一起提供"))
        return [model]
    if url is not None:
        usage(said("--url is for one NAME", "--url 只能与单个名称一起使用"))
    engines = sorted({model.engine for model in models()})
    if all_of not in engines:
        usage(f"--all-of: {', '.join(engines)}")
    wanted = [model for model in models() if model.engine == all_of and model.url]
    if not wanted:
        told = said(f"no model of {all_of} has an address", f"{all_of} 没有已知下载地址的模型")
        usage(told)
    return wanted


def _agree(model: "Model", *, accepted: bool, may_ask: bool) -> None:
    """Show the licence; where it forbids commercial use, a person must have agreed to it."""
    shown = said(f"{model.name}: licence: {model.licence}", f"{model.name}：许可：{model.licence}")
    err.print(shown, highlight=False, markup=False, soft_wrap=True)
    if model.commercial_use != "no" or accepted:
        return
    question = said("Commercial use is not allowed. Go on?", "不允许商业使用。是否继续？")
    if may_ask and sys.stdin.isatty() and err.is_terminal:
        if typer.confirm(question, err=True):
            return
        raise typer.Exit(1)
    usage(
        said(
            "commercial use is not allowed; agree with --accept-licence", "不允许商业使用；如同意请加 --accept-licence"
        )
    )


def _pull_one(model: "Model", url: str | None, models_dir: Path, *, replace: bool, quiet: bool) -> "Pulled":
    from heygemd.models.pulling import Pull  # noqa: PLC0415

    with _bar(model.name, quiet=quiet) as heard:
        pulled = Pull(models_dir=models_dir, replace=replace, heard=heard).fetch(model, url)
    if not quiet:
        _say_pulled(pulled)
    return pulled


def _say_pulled(pulled: "Pulled") -> None:
    from heygemd.models.shelf import State  # noqa: PLC0415

    if pulled.was_there:
        told = said(f"{pulled.path} is there already ({pulled.state})", f"{pulled.path} 已存在")
        if pulled.state is State.UNLISTED:
            told += said("; --replace fetches it again", "；如需重新下载请加 --replace")
    elif pulled.state is State.UNLISTED:
        told = said(
            f"{pulled.path}: sha256 {pulled.sha256}; the catalogue lists none to compare it with",
            f"{pulled.path}：sha256 {pulled.sha256}；目录中没有可比对的值",
        )
    else:
        told = said(f"{pulled.path}: the sha256 is the listed one", f"{pulled.path}：sha256 与目录一致")
    err.print(told, highlight=False, markup=False, soft_wrap=True)
    if pulled.model.converts_to:
        hint = f"heygemd models convert {pulled.model.name}"
        err.print(said(f"stripped form: {hint}", f"精简版：{hint}"), highlight=False, markup=False, soft_wrap=True)


@contextmanager
def _bar(name: str, *, quiet: bool) -> Iterator[Callable[[int, int | None], None]]:
    """Show a bar on a terminal; elsewhere nothing is told on the way."""
    if quiet or not err.is_terminal:
        yield lambda done, total: None
        return
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn  # noqa: PLC0415  # noqa: PLC0415

    columns = (
        TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=err) as progress:
        task = progress.add_task(escape(name), total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def _convert_one(
    source: Path, output: Path | None, models_dir: Path, *, half: bool, replace: bool, quiet: bool
) -> dict[str, object]:
    from heygemd.models.conversion import convert as make  # noqa: PLC0415
    from heygemd.models.conversion import place_for  # noqa: PLC0415

    target = output.absolute() if output else place_for(source, models_dir)
    done = make(source, target, half=half, replace=replace)
    if not quiet:
        told = said(
            f"{done.path}: {done.tensors} tensors, {done.size_bytes / 1e6:.0f} MB of {done.source_bytes / 1e6:.0f} MB "
            f"({done.container}); read back and compared",
            f"{done.path}：{done.tensors} 个张量，{done.size_bytes / 1e6:.0f} MB（原 {done.source_bytes / 1e6:.0f} MB，"
            f"{done.container}）；已回读比对",
        )
        err.print(told, highlight=False, markup=False, soft_wrap=True)
    return {**asdict(done), "source": str(done.source), "path": str(done.path)}


def _tell(standing: "Standing", *, is_good: bool) -> None:
    from heygemd.models.tables import state_text  # noqa: PLC0415

    mark = "[green]ok[/]" if is_good else "[red]!![/]"
    detail = f" ({standing.detail})" if standing.detail else ""
    told = f"{standing.model.name}: {state_text(standing.state)}{detail} {standing.path} {standing.sha256 or ''}"
    out().print(f"{mark} {escape(told.rstrip())}", highlight=False, soft_wrap=True)
    if not is_good and not standing.model.shipped:
        out().print("   " + _fix(standing.model), highlight=False, markup=False, soft_wrap=True)


def _fix(model: "Model") -> str:
    if model.url is None:
        return said(f"bring it: {model.source}", f"请自行提供：{model.source}")
    command = f"heygemd models pull {model.name}"
    return said(f"fetch it: {command}", f"请获取：{command}")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(help="The models: those that ship and those you bring.", no_args_is_help=True)
    group.command("list")(list_models)
    group.command()(pull)
    group.command()(verify)
    group.command()(convert)
    app.add_typer(group, name="models")
