"""`heygemd init-root`."""

from pathlib import Path
from typing import Annotated

import typer

from heygemd.commands.console import emit_json, explained
from heygemd.commands.options import JsonOption, set_up_log
from heygemd.language import said
from heygemd.settings import load


def init_root(
    folder: Annotated[Path, typer.Argument(help="Folder that people will share; created if absent.")],
    json_output: JsonOption = False,
) -> None:
    """Make a folder into a root: inbox, outbox and the rest."""
    from heygemd.intake import roots  # noqa: PLC0415  # commands load only what they need

    with explained(as_json=json_output):
        set_up_log(load())
        root = roots.init_root(folder.absolute())
    if json_output:
        emit_json({"path": str(root.path), "uuid": root.uuid, "inbox": str(root.inbox), "outbox": str(root.outbox)})
        return
    typer.echo(
        said(
            f"{root.path} is ready. Drop a video and a sound file of the same name into {root.inbox}",
            f"{root.path} 已就绪。请将同名的画面和声音文件放入 {root.inbox}",
        )
    )


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("init-root")(init_root)
