"""`heygemd run`: the daemon itself."""

from typing import TYPE_CHECKING, Annotated

import typer

from heygemd.commands.console import EXIT_JOB_FAILED, err, explained
from heygemd.commands.options import ConfigOption, RootOption, StateOption, config_file, set_up_log, settings_of
from heygemd.errors import SetupError
from heygemd.language import said

if TYPE_CHECKING:
    from heygemd.daemon.loop import Daemon


def run(
    config: ConfigOption = None,
    root: RootOption = None,
    until_idle: Annotated[bool, typer.Option("--until-idle", help="End when all that was dropped is done.")] = False,
    state_dir: StateOption = None,
) -> None:
    """Watch the inboxes and make films, until told to stop."""
    from heygemd.daemon.opening import open_daemon  # noqa: PLC0415

    at_once = said(
        "ended at once; the next run goes on with what was in work", "已立即结束；下次运行会继续未完成的工作"
    )
    with explained(on_interrupt=at_once):
        settings = settings_of(config, root, state_dir)
        set_up_log(settings, file=settings.log_file)
        if not settings.roots:
            raise SetupError("E401", "no root is configured: give --root DIR, or roots = [...] in the configuration")
        file = config_file(config, has_roots=bool(root))
        with open_daemon(settings, lambda: settings_of(config, root, state_dir), file) as daemon:
            watched = until_idle and err.is_terminal
            if watched:  # log lines would tear the bars apart
                set_up_log(settings, level="warning", file=settings.log_file)
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


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(run)
