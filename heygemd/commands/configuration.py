"""`heygemd config check`, `show` and `schema`."""

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from heygemd.commands.console import emit_json, err, explained, out
from heygemd.commands.options import CONFIG_VARIABLE, INSTALLED_CONFIG, ConfigOption, JsonOption, config_file
from heygemd.language import said

app = typer.Typer(
    help="Check and show the configuration.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command()
def check(
    file: Annotated[
        Path | None, typer.Argument(help="Configuration file; else the one that a daemon would read.")
    ] = None,
    config: ConfigOption = None,
    json_output: JsonOption = False,
) -> None:
    """Say whether a daemon could start with it; ends with 78 when it could not."""
    from heygemd.commands.stores import find_root  # noqa: PLC0415
    from heygemd.configuration import check as check_file  # noqa: PLC0415
    from heygemd.settings import load  # noqa: PLC0415

    with explained(as_json=json_output):
        chosen = config_file(file or config)
        if not json_output:
            err.print(_which(chosen, file or config), highlight=False, markup=False, soft_wrap=True)
        checked = check_file(chosen, {path: find_root(path) for path in load(chosen).roots})
    if json_output:
        emit_json({
            "file": str(chosen) if chosen else None,
            "variables": {one.source: one.name for one in checked.variables},
            "warnings": [warning.english for warning in checked.warnings],
        })  # fmt: skip
        return
    for one in checked.variables:
        over = said(" over the file", "（覆盖文件中的值）") if one.is_overridden else ""
        out().print(
            f"{one.source}: {one.name} = {_written(one.value)}{over}", highlight=False, markup=False, soft_wrap=True
        )
    for warning in checked.warnings:
        out().print(
            said(f"mind: {warning.english}", f"注意：{warning.chinese}"), highlight=False, markup=False, soft_wrap=True
        )
    out().print(said("the configuration is valid", "配置有效"), highlight=False)


@app.command()
def show(
    config: ConfigOption = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only what differs from the default.")] = False,
    json_output: JsonOption = False,
) -> None:
    """Show every setting with its value and where that comes from."""
    from heygemd.commands.tables import Column, print_table  # noqa: PLC0415
    from heygemd.configuration import effective  # noqa: PLC0415
    from heygemd.settings import load  # noqa: PLC0415

    with explained(as_json=json_output):
        chosen = config_file(config)
        settings = effective(load(chosen), chosen)
    shown = [one for one in settings if not changed or one.value != one.default]
    if json_output:
        told = [
            {"name": one.name, "value": one.value, "source": one.source, "default": one.default,
             "description": one.description}
            for one in shown
        ]  # fmt: skip
        emit_json({"file": str(chosen) if chosen else None, "settings": told})
        return
    err.print(_which(chosen, config), highlight=False, markup=False, soft_wrap=True)
    columns = (
        Column(title=said("setting", "设置"), is_whole=True),
        Column(title=said("value", "值")),
        Column(title=said("from", "来源"), is_whole=True),
    )
    print_table(out(), columns, ((one.name, _written(one.value), one.source) for one in shown))


@app.command()
def schema(json_output: JsonOption = False) -> None:
    """Print the JSON Schema of the configuration file, for editors."""
    from heygemd.configuration import schema as schema_of  # noqa: PLC0415

    del json_output  # it is JSON always
    emit_json(schema_of())


def _which(chosen: Path | None, named: Path | None) -> str:
    if chosen is None:
        return said(
            f"no file: {INSTALLED_CONFIG} does not exist, and neither --config nor ${CONFIG_VARIABLE} names one",
            f"没有配置文件：{INSTALLED_CONFIG} 不存在，也没有通过 --config 或 ${CONFIG_VARIABLE} 指定",
        )
    by_variable = named is None and bool(os.environ.get(CONFIG_VARIABLE))
    return f"{chosen} (${CONFIG_VARIABLE})" if by_variable else str(chosen)


def _written(value: Any) -> str:  # noqa: ANN401  # any plain value, as it stands in TOML
    """Write a value as the file would."""
    import json  # noqa: PLC0415

    if value is None:
        return said("not set", "未设置")
    return json.dumps(value, ensure_ascii=False)


def register(top: typer.Typer) -> None:
    """Add the group."""
    top.add_typer(app, name="config")
