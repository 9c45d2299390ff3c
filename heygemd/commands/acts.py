"""`heygemd retry` and `cancel`: they ask the daemon, which does it at once or at its next start."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from heygemd.commands.completion import complete_ended_badly, complete_unfinished
from heygemd.commands.console import EXIT_JOB_FAILED, EXIT_USAGE, emit_json, err, explained, out, usage
from heygemd.commands.jobs import CodeFilter, FolderFilter, batch_of, filter_of
from heygemd.commands.options import ConfigOption, JsonOption, RootOption, StateOption, set_up_log
from heygemd.language import said

if TYPE_CHECKING:
    from heygemd.acts.asking import Answer
    from heygemd.commands.stores import Whereabouts
    from heygemd.jobs.job import Job
    from heygemd.jobs.requests import Act
    from heygemd.jobs.store import JobStore

MANY = 20
"""More are not begun on a terminal without asking."""

YesOption = Annotated[bool, typer.Option("--yes", "-y", help=f"Do not ask back when more than {MANY} are meant.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")]
WaitOption = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait up to 15 s for the daemon's answer.")]
NameFilter = Annotated[str | None, typer.Option("--name", help="Pattern of the film's name: 'ep*'.")]
SinceFilter = Annotated[str | None, typer.Option("--since", help="Only those that changed since then: 24h, 7d.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is asked for by its id."""

    id: str
    shown: str


def retry(
    job: Annotated[
        list[str] | None,
        typer.Argument(
            help="Jobs, as show takes them; a manifest: its failed rows.", autocompletion=complete_ended_badly
        ),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="All that failed.")] = False,
    code: CodeFilter = None,
    batch: Annotated[str | None, typer.Option("--batch", help="Failed rows of this manifest or job folder.")] = None,
    folder: FolderFilter = None,
    name: NameFilter = None,
    since: SinceFilter = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """Try failed or cancelled films again."""
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415
    from heygemd.jobs.requests import Act  # noqa: PLC0415

    narrowed = failed or any((code, batch, folder, name, since))
    if not job and not narrowed:
        usage("which? name jobs, or give --failed, --code, --batch, --folder, --name or --since")
    with explained(as_json=json_output, on_interrupt=interrupted()):
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="warning")
        with opened(where) as store:
            targets = _named(store, job or (), where, _may_retry, rows_of_batch=True)
            if narrowed:
                targets += _fitting(
                    store, where, states=["failed"], code=code, batch=batch, folder=folder, name=name, since=since
                )
        _carry_out(where, Act.RETRY, targets, dry_run=dry_run, yes=yes, wait=wait, json_output=json_output)


def cancel(
    job: Annotated[
        list[str] | None,
        typer.Argument(help="Jobs, or ids of manifests and job folders.", autocompletion=complete_unfinished),
    ] = None,
    queued: Annotated[bool, typer.Option("--queued", help="All that wait; what is in work goes on.")] = False,
    folder: FolderFilter = None,
    name: NameFilter = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    wait: WaitOption = True,
    config: ConfigOption = None,
    root: RootOption = None,
    state_dir: StateOption = None,
    json_output: JsonOption = False,
) -> None:
    """Cancel films that wait or are in work; their inputs go to failed/, from where they can be put back."""
    from heygemd.commands.stores import find_store, opened  # noqa: PLC0415
    from heygemd.jobs.requests import Act  # noqa: PLC0415

    narrowed = queued or any((folder, name))
    if not job and not narrowed:
        usage("which? name jobs or manifests, or give --queued, --folder or --name")
    with explained(as_json=json_output, on_interrupt=interrupted()):
        where = find_store(config, root, state_dir)
        set_up_log(where.settings, level="warning")
        with opened(where) as store:
            targets = _named(store, job or (), where, _may_cancel, rows_of_batch=False)
            if narrowed:
                states = ["queued"] if queued else ["queued", "running"]
                targets += _fitting(store, where, states=states, folder=folder, name=name)
        _carry_out(where, Act.CANCEL, targets, dry_run=dry_run, yes=yes, wait=wait, json_output=json_output)


# Who is meant -------------------------------------------------------------------------------------------------------


def _may_retry(job: "Job") -> bool:
    return job.state.value in {"failed", "cancelled"}


def _may_cancel(job: "Job") -> bool:
    return job.state.value in {"queued", "running"}


def _named(
    store: "JobStore", words: Sequence[str], where: "Whereabouts", may: "Callable[[Job], bool]", *, rows_of_batch: bool
) -> list[Target]:
    """Return what the words mean; of several jobs of one name those that the act can be done to count alone."""
    from heygemd.roster.finding import find  # noqa: PLC0415

    targets: list[Target] = []
    for word in words:
        found = find(store, word, where.roots)
        jobs = [job for job_id in found.jobs if (job := store.get(job_id)) is not None]
        if len(jobs) > 1:
            jobs = [job for job in jobs if may(job)] or jobs
        if len(jobs) + len(found.batches) != 1:
            ids = [*(job.id for job in jobs), *found.batches]
            usage(f"{word!r} may be " + ", ".join(ids) if ids else f"there is no job {word!r}; heygemd jobs lists them")
        if jobs:
            targets.append(_target(jobs[0]))
        elif rows_of_batch:
            targets += [_target(job) for job in store.jobs_of_batch(found.batches[0]) if may(job)]
        else:
            batch = store.get_batch(found.batches[0])
            targets.append(Target(id=found.batches[0], shown=f"{batch.name} ({batch.kind})" if batch else ""))
    return targets


def _fitting(
    store: "JobStore",
    where: "Whereabouts",
    *,
    states: list[str],
    code: str | None = None,
    batch: str | None = None,
    folder: str | None = None,
    name: str | None = None,
    since: str | None = None,
) -> list[Target]:
    """Return all jobs that the options mean, the oldest first: in this order they were dropped."""
    batch_id = batch_of(store, batch) if batch else None
    found = []
    for uuid in tuple(root.uuid for root in where.chosen) or (None,):
        wanted = filter_of(
            states=states, folder=folder, name=name, code=code, batch=batch_id, since=since, now=datetime.now(UTC),
            root=uuid,
        )  # fmt: skip
        found += [_target(listed.job) for listed in store.listed(wanted)]
    return sorted(found, key=lambda target: target.id)


def _target(job: "Job") -> Target:
    return Target(id=job.id, shown="/".join(part for part in (job.folder, job.name) if part))


# Asking and telling -------------------------------------------------------------------------------------------------


def _carry_out(
    where: "Whereabouts", act: "Act", found: list[Target], *, dry_run: bool, yes: bool, wait: bool, json_output: bool
) -> None:
    from heygemd.acts.asking import WAIT_S, ask  # noqa: PLC0415

    shown = {target.id: target.shown for target in found}  # each once
    if not shown:
        if json_output:
            emit_json([])
        err.print(said("nothing to do: no film fits", "没有符合条件的任务"), highlight=False)
        return
    if dry_run:
        _list(shown, json_output=json_output)
        return
    if len(shown) > MANY and not yes and is_attended():
        question = said(f"{act.value} {len(shown)} films?", f"确定对 {len(shown)} 个任务执行 {act.value}？")
        if not typer.confirm(question, err=True):
            err.print(said("nothing was done", "未执行任何操作"), highlight=False)
            raise typer.Exit(EXIT_USAGE)
    answers = ask(where.store, act, list(shown), lock=where.lock, wait_s=WAIT_S if wait else 0.0)
    tell(answers, shown, json_output=json_output)


def is_attended() -> bool:
    """Tell whether a person sits there who can be asked."""
    return sys.stdin.isatty() and err.is_terminal


def _list(shown: dict[str, str], *, json_output: bool) -> None:
    from heygemd.naming import printable  # noqa: PLC0415

    if json_output:
        emit_json([{"target": target, "film": name} for target, name in shown.items()])
        return
    for target, name in shown.items():
        out().print(f"{target}  {printable(name)}", highlight=False, markup=False, soft_wrap=True)


def tell(answers: "list[Answer]", shown: dict[str, str], *, json_output: bool) -> None:
    """Print what came of it; ends with 1 when something was refused."""
    from heygemd.commands.tables import Column, print_table  # noqa: PLC0415

    if json_output:
        emit_json([answer.as_dict() for answer in answers])
    else:
        columns = (
            Column(title=said("outcome", "结果"), is_whole=True),
            Column(title=said("film", "视频")),
            Column(title=said("note", "说明")),
            Column(title=said("job", "任务"), is_whole=True),
        )
        told = (
            (_outcome(one.outcome), shown[one.request.target], one.request.note, one.request.target) for one in answers
        )
        print_table(out(), columns, told)
    outcomes = {answer.outcome for answer in answers}
    if "later" in outcomes:
        text = said("no daemon runs; it will be done at its next start", "守护进程未运行，将在下次启动时执行")
        err.print(text, highlight=False)
    if "asked" in outcomes:
        text = said("asked for; the daemon has not got round to it yet: see heygemd jobs",
                    "已提交，守护进程尚未处理完：用 heygemd jobs 查看")  # fmt: skip
        err.print(text, highlight=False, soft_wrap=True)
    if "refused" in outcomes:
        raise typer.Exit(EXIT_JOB_FAILED)


def _outcome(outcome: str) -> str:
    return {
        "done": said("done", "完成"), "refused": said("refused", "拒绝"), "asked": said("asked", "已提交"),
        "later": said("later", "稍后"),
    }[outcome]  # fmt: skip


def interrupted() -> str:
    """Return what is said when the waiting is cut short."""
    return said("interrupted; what was asked for will be done", "已中断；已提交的请求仍会执行")


def register(app: typer.Typer) -> None:
    """Add the commands."""
    app.command()(retry)
    app.command()(cancel)
