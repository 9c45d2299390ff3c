"""Options that many commands have, and the settings that come of them."""

import os
from pathlib import Path
from typing import Annotated

import typer

from heygemd.errors import SetupError
from heygemd.jobs.job import FACE_RULES, is_face_rule
from heygemd.log import LogChoice, configure
from heygemd.settings import Settings, load

INSTALLED_CONFIG = Path("/etc/heygemd/heygemd.toml")
"""Read when nobody names another file and no root is given by hand."""
CONFIG_VARIABLE = "HEYGEMD_CONFIG"

ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config", "-c", help=f"Configuration file (TOML); else ${CONFIG_VARIABLE}, else {INSTALLED_CONFIG}."
    ),
]
RootOption = Annotated[list[Path] | None, typer.Option("--root", help="A folder made by init-root; may be repeated.")]
StateOption = Annotated[
    Path | None,
    typer.Option(readable=False, help="Local folder for the store and work files."),  # unreadable: E407 says more
]
JsonOption = Annotated[bool, typer.Option("--json", help="Machine-readable output on stdout.")]


def _face_rule(text: str | None) -> str | None:
    """Refuse what is no rule."""
    if text is not None and not is_face_rule(text):
        raise typer.BadParameter(f"{text!r} is none of {', '.join(FACE_RULES)}, nor index:1 to index:99")
    return text


FaceOption = Annotated[
    str, typer.Option(callback=_face_rule, help="Whose mouth moves: main, largest, left, right or index:N (from left).")
]
FaceChoiceOption = Annotated[
    str | None,
    typer.Option("--face", callback=_face_rule, help="Whose mouth moves: main, largest, left, right or index:N."),
]


def config_file(named: Path | None, *, has_roots: bool = False) -> Path | None:
    """Return the configuration file to read: the one named, the variable's, or the installed one."""
    if named is not None:
        return named
    if os.environ.get(CONFIG_VARIABLE):
        return Path(os.environ[CONFIG_VARIABLE])
    if has_roots or not _may_be_there(INSTALLED_CONFIG):
        return None
    return INSTALLED_CONFIG


def settings_of(config: Path | None, root: list[Path] | None = None, state_dir: Path | None = None) -> Settings:
    """Read the settings of this call; raises SetupError E401."""
    overrides: dict[str, object] = {}
    if root:
        overrides["roots"] = tuple(folder.absolute() for folder in root)
    if state_dir is not None:
        overrides["state_dir"] = state_dir.absolute()
    return load(config_file(config, has_roots=bool(root)), **overrides)


def set_up_log(settings: Settings, *, level: str | None = None, file: Path | None = None) -> None:
    """Log as the settings say; `level` is used instead of the default one, not of one that was chosen.

    Only the daemon also writes the debug log, `file`.
    """
    chosen = level if level and settings.log_level == "info" else settings.log_level
    configure(LogChoice(level=chosen, file=file))


def _may_be_there(file: Path) -> bool:
    try:
        return file.is_file()
    except PermissionError as error:
        raise SetupError("E401", f"{file} cannot be read by this user: {error.strerror}") from error
