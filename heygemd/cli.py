"""The command line: builds the settings once, sets up logging, and calls the rooms. Loads no pixel stack."""

import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from rich.console import Console
from rich.markup import escape

from heygemd import __version__
from heygemd.errors import ADVICE, HeygemdError, SetupError
from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions, SilenceRule
from heygemd.limits import X264Preset
from heygemd.log import LogChoice, configure
from heygemd.settings import Settings, load

if TYPE_CHECKING:
    from heygemd.daemon.loop import Daemon

EXIT_JOB_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXIT_SETUP = 78
"""EX_CONFIG of sysexits.h: systemd is told not to restart on it."""

app = typer.Typer(
    help="Drop a voice and a face into a folder, find a finished film.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
err = Console(stderr=True)

ConfigOption = Annotated[Path | None, typer.Option("--config", "-c", help="Configuration file (TOML).")]
RootOption = Annotated[list[Path] | None, typer.Option("--root", help="A folder made by init-root; may be repeated.")]
StateOption = Annotated[Path | None, typer.Option(help="Local folder for the store and work files.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


def main() -> None:
    """Entry point of the `heygemd` command."""
    app()


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"heygemd {__version__}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version


@app.command("init-root")
def init_root(
    folder: Annotated[Path, typer.Argument(help="Folder that people will share; created if absent.")],
) -> None:
    """Make a folder into a root: inbox, outbox and the rest."""
    from heygemd.intake import roots  # noqa: PLC0415  # commands load only what they need

    with _explained():
        _log(_settings(None, None, None))
        root = roots.init_root(folder.absolute())
    typer.echo(f"{root.path} is ready. Drop a video and a sound file of the same name into {root.inbox}")


@app.command()
def run(
    config: ConfigOption = None,
    root: RootOption = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when all that was dropped is done.")] = False,
    state_dir: StateOption = None,
) -> None:
    """Watch the inboxes and make films, until told to stop."""
    from heygemd.daemon.loop import open_daemon  # noqa: PLC0415

    with _explained():
        settings = _settings(config, root, state_dir)
        _log(settings)
        if not settings.roots:
            raise SetupError("E401", "no root is configured: give --root DIR, or roots = [...] in the configuration")
        with open_daemon(settings) as daemon:
            watched = until_idle and err.is_terminal
            if watched:  # log lines would tear the bars apart
                _log(settings, level="warning")
            failed = _run_with_bars(daemon) if watched else daemon.run(until_idle=until_idle)
    raise typer.Exit(EXIT_JOB_FAILED if until_idle and failed else 0)


def _run_with_bars(daemon: "Daemon") -> int:
    from heygemd.live import Bars  # noqa: PLC0415

    bars = Bars(err)

    def draw() -> None:
        jobs = ((daemon.store.get(progress.job_id), progress) for progress in daemon.scheduler.progress())
        bars.show(tuple((job.name if job else progress.job_id, progress) for job, progress in jobs))

    with bars.progress:
        return daemon.run(until_idle=True, on_tick=draw)


@app.command()
def render(
    video: Annotated[Path, typer.Option("--video", "-v", help="The face: a clip or a still picture.")],
    audio: Annotated[Path, typer.Option("--audio", "-a", help="The voice.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film to make (.mp4).")],
    engine: Annotated[EngineName | None, typer.Option(help="Which renderer.")] = None,
    length: Annotated[LengthPolicy, typer.Option(help="When sound and picture differ in length.")] = LengthPolicy.AUTO,
    silence: Annotated[SilenceRule, typer.Option(help="What the mouth does in silence.")] = SilenceRule.CLOSE,
    audio_offset_ms: Annotated[int, typer.Option(min=-2000, max=2000, help="Mouth later than sound.")] = 0,
    crf: Annotated[int | None, typer.Option(min=0, max=40, help="x264 quality; 0 is lossless.")] = None,
    preset: Annotated[X264Preset | None, typer.Option(help="x264 preset.")] = None,
    segment_s: Annotated[float | None, typer.Option(min=0.04, help="Longest piece rendered at once.")] = None,
    config: ConfigOption = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an existing film.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Make one film without a daemon."""
    from heygemd.assembly import default_options  # noqa: PLC0415
    from heygemd.oneshot import FilmRequest, make_film  # noqa: PLC0415

    _check_usage(video, audio, output, overwrite=overwrite)
    if segment_s is not None and not math.isfinite(segment_s):
        _usage(f"--segment-s: {segment_s} is not a length")
    with _explained(as_json=json_output):
        settings = _settings(config, None, None)
        if settings.log_level == "info":  # the bar and the report say it; workers keep to the same level
            settings = settings.model_copy(update={"log_level": "error"})
        _log(settings)
        defaults = default_options(settings.render)
        options = RenderOptions(
            engine=engine or defaults.engine,
            length=length,
            silence=silence,
            audio_offset_ms=audio_offset_ms,
            crf=defaults.crf if crf is None else crf,
            preset=preset or defaults.preset,
        )
        request = FilmRequest(
            video=video, audio=audio, output=output.absolute(), options=options,
            segment_s=segment_s, overwrite=overwrite,
        )  # fmt: skip
        report = make_film(request, settings, None if json_output else err)
    if json_output:
        typer.echo(report.to_json())


@app.command()
def status(
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """Show what the daemon is doing, what waits, and what came out."""
    from heygemd.status import read_status, show_status  # noqa: PLC0415

    with _explained(as_json=json_output):
        settings = _settings(config, root, state_dir)
        _log(settings)
        found = read_status(settings)
    if json_output:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
    else:
        show_status(found, Console())


@app.command()
def doctor(config: ConfigOption = None, json_output: JsonOption = False) -> None:
    """Check the set-up and say how to mend it."""
    from heygemd.doctor import examine  # noqa: PLC0415

    with _explained(as_json=json_output):
        settings = _settings(config, None, None)
        _log(settings, level="warning")
        findings = examine(settings)
    if json_output:
        typer.echo(json.dumps([finding.as_dict() for finding in findings], ensure_ascii=False, indent=2))
    else:
        for finding in findings:
            mark = "[green]ok[/]" if finding.is_good else "[red]!![/]"
            Console().print(
                f"{mark} {escape(f'{finding.subject}: {finding.message}')}", highlight=False, soft_wrap=True
            )
    raise typer.Exit(0 if all(finding.is_good for finding in findings) else EXIT_SETUP)


def _settings(config: Path | None, root: list[Path] | None, state_dir: Path | None) -> Settings:
    overrides: dict[str, object] = {}
    if root:
        overrides["roots"] = tuple(folder.absolute() for folder in root)
    if state_dir is not None:
        overrides["state_dir"] = state_dir.absolute()
    return load(config, **overrides)


def _log(settings: Settings, *, level: str | None = None) -> None:
    configure(LogChoice(level=level if level and settings.log_level == "info" else settings.log_level))


def _check_usage(video: Path, audio: Path, output: Path, *, overwrite: bool) -> None:
    for name, path in (("--video", video), ("--audio", audio), ("--output", output)):
        if not _is_unicode(path):
            _usage(f"{name}: {str(path)!a} is not valid UTF-8; rename it")
    for name, path in (("--video", video), ("--audio", audio)):
        if not path.is_file():
            _usage(f"{name}: {path} is not a file")
    if output.suffix.lower() != ".mp4":
        _usage(f"--output: {output} must end in .mp4")
    if not output.absolute().parent.is_dir():
        _usage(f"--output: the folder {output.absolute().parent} does not exist")
    if output.is_dir():
        _usage(f"--output: {output} is a folder")
    if output.exists() and any(output.samefile(path) for path in (video, audio)):
        _usage(f"--output: {output} is one of the inputs")
    if output.exists() and not overwrite:
        _usage(f"--output: {output} exists already; give --overwrite to replace it")


def _is_unicode(path: Path) -> bool:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _usage(message: str) -> NoReturn:
    err.print(f"[red]usage:[/] {escape(message)}", highlight=False, soft_wrap=True)
    raise typer.Exit(EXIT_USAGE)


@contextmanager
def _explained(*, as_json: bool = False) -> Iterator[None]:
    """Turn an error of ours into its code, sentence and advice on stderr, and the right exit status."""
    try:
        yield
    except KeyboardInterrupt:
        err.print("interrupted; nothing was written")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    except HeygemdError as error:
        advice = ADVICE[error.code]
        chinese = (os.environ.get("LC_ALL") or os.environ.get("LANG") or "").startswith("zh")
        title, todo = (advice.title_zh, advice.todo_zh) if chinese else (advice.title, advice.todo)
        if as_json:
            body = {
                "error": {"code": error.code, "title": advice.title, "advice": advice.todo, "message": error.message}
            }
            typer.echo(json.dumps(body, ensure_ascii=False))
        err.print(f"[bold red]{error.code}[/] {title}", highlight=False, soft_wrap=True)
        err.print(error.message, highlight=False, markup=False, soft_wrap=True)
        err.print(todo, highlight=False, markup=False, soft_wrap=True)
        raise typer.Exit(EXIT_SETUP if isinstance(error, SetupError) else EXIT_JOB_FAILED) from None
