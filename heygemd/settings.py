"""Every knob in one frozen tree; names carry their unit. Built once, in `commands/`, and passed down in parts."""

import difflib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
    TomlConfigSettingsSource,
)
from typing_extensions import override

from heygemd.errors import SetupError
from heygemd.limits import DetectorName, EncoderWish, Limits, Part, TrackerWish, X264Preset

__all__ = ["IntakeSettings", "Limits", "OutboxSettings", "RenderSettings", "RetentionSettings", "Settings", "load"]


class IntakeSettings(Part):
    """When is a file complete?"""

    settle_s: float = Field(3.0, gt=0, description="Quiet time when the absence of a writer is certain.")
    settle_unsure_s: float = Field(20.0, gt=0, description="Quiet time when it is not (mounts, foreign owners).")
    settle_scans: int = Field(3, ge=2, description="Equal looks at a file before it counts as quiet.")
    scan_active_s: float = Field(2.0, gt=0, description="Pause between scans after recent activity.")
    scan_idle_s: float = Field(10.0, gt=0, description="Pause between scans otherwise.")
    scan_limit_s: float = Field(600.0, gt=0, description="A look at a root that takes longer marks it offline.")
    scan_mount_s: float = Field(10.0, gt=0, description="The same on network mounts, after recent activity.")
    scan_mount_idle_s: float = Field(30.0, gt=0, description="The same on network mounts otherwise.")
    structure_grace_s: float = Field(600.0, gt=0, description="A file that stays incomplete this long is failed.")
    require_commit: bool = Field(False, description="Accept only files that were committed (see drop-protocol.md).")
    orphan_notice_s: float = Field(120.0, gt=0, description="A lone file is shown as waiting after this time.")
    orphan_timeout_s: float = Field(86400.0, gt=0, description="A lone file is failed after this time.")
    reserve_mib: int = Field(1024, ge=0, description="No claim leaves less free space than this on share or state.")
    max_manifest_mib: float = Field(8.0, gt=0, description="A larger manifest is refused.")
    max_manifest_rows: int = Field(10_000, gt=0, description="A manifest of more rows is refused.")


class RenderSettings(Part):
    """How films are made."""

    engine: Literal["auto", "atlas", "wav2lip", "passthrough"] = Field(
        "auto", description="Used when a job names none."
    )
    device: Literal["auto", "cpu", "cuda"] = Field("auto", description="`auto`: a GPU when one works, else the CPU.")
    backend: Literal["auto", "torch", "openvino"] = Field(
        "auto", description="What computes the wav2lip network on a CPU; `auto`: what proves fastest at first start."
    )
    tracker: TrackerWish = Field(
        "auto", description="Who follows faces; `auto`: face-alignment for wav2lip on a GPU that has its weights."
    )
    detector: DetectorName = Field("s3fd", description="What finds faces where face-alignment follows them.")
    require_gpu: bool = Field(False, description="Refuse to start without a GPU instead of using the CPU.")
    segment_s: float = Field(60.0, gt=0, description="Longest piece that is rendered at once.")
    min_segment_s: float = Field(8.0, gt=0, description="To use more workers a film is cut into pieces down to this.")
    batch_size: int = Field(16, ge=1, le=512, description="Most frames handed to the engine at once.")
    workers: int = Field(0, ge=0, le=64, description="Most workers of one device; 0: what cores and memory carry.")
    vram_reserve_mib: int = Field(512, ge=0, description="Memory of each graphics card that is left to others.")
    ram_reserve_mib: int = Field(1024, ge=0, description="Main memory that is left to others.")
    cpu_fallback: bool = Field(True, description="A job that finds no graphics memory may be made on the CPU.")
    memory_wait_s: float = Field(600.0, ge=0, description="How long it first waits for memory that others hold.")
    crf: int = Field(18, ge=0, le=40, description="x264 constant rate factor; 0 is lossless.")
    preset: X264Preset = Field("veryfast", description="x264 preset.")
    encoder: EncoderWish = Field(
        "x264", description="`nvenc`: the graphics card's, where it has one that works; `auto`: so, without a warning."
    )
    hardware_decoding: bool = Field(
        False, description="Let the worker's graphics card decode what it can: H.264, HEVC, VP9 and AV1 of 8 bits."
    )
    aging_s: float = Field(600.0, gt=0, description="One step of priority is worth this much waiting.")
    max_attempts: int = Field(5, ge=1, description="Starts of one job before it is failed.")
    max_strikes: int = Field(2, ge=1, description="Workers one task may end before its job is failed.")
    silence_start_s: float = Field(300.0, gt=0, description="A worker that is not ready after this is ended.")
    silence_analyse_s: float = Field(300.0, gt=0, description="One that says nothing so long while it analyses.")
    silence_render_s: float = Field(300.0, gt=0, description="The same while it renders a segment.")
    silence_finish_s: float = Field(900.0, gt=0, description="The same while it joins and checks the film.")
    keep_warm_s: float = Field(300.0, ge=0, description="An idle worker keeps its engine loaded for this time.")
    recycle_tasks: int = Field(500, ge=1, description="A worker is replaced after so many tasks.")
    recycle_growth_mib: int = Field(1024, gt=0, description="Or when its memory has grown by this since its first.")
    stop_grace_s: float = Field(20.0, gt=0, description="Time the segment in work gets at shutdown.")


class OutboxSettings(Part):
    """What happens to results and originals."""

    on_clash: Literal["version", "replace", "fail"] = Field("version", description="What to do when the name is taken.")
    originals: Literal["archive", "delete"] = Field("archive", description="What happens to a finished job's inputs.")


class RetentionSettings(Part):
    """How long things are kept; 0 days: for ever."""

    done_days: int = Field(30, ge=0, description="Originals of finished films.")
    failed_days: int = Field(90, ge=0, description="Inputs of failed jobs.")
    cache_gib: float = Field(10.0, ge=0, description="Size of the caches of face tracks and speech curves.")
    low_water_gib: float = Field(
        2.0, ge=0, description="With less free space, the oldest of done/ goes before its time."
    )


class Settings(BaseSettings):
    """The whole configuration: defaults, then the TOML file, then `HEYGEMD_*` variables, then the command line."""

    model_config = SettingsConfigDict(env_prefix="HEYGEMD_", env_nested_delimiter="__", frozen=True, extra="forbid")

    roots: tuple[Path, ...] = Field((), description="Folders made by `heygemd init-root`.")
    state_dir: Path | None = Field(None, description="Local folder for the store and work files.")
    models_dir: Path = Field(Path("models"), description="Where users put weights of their own.")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="Least level that is logged.")
    log_file: Path | None = Field(None, description="A second log: everything down to debug, as JSON lines.")
    metrics_file: Path | None = Field(None, description="Metrics for Prometheus (textfile collector), a *.prom file.")
    metrics_every_s: float = Field(15.0, ge=1, description="How often the metrics are written.")
    intake: IntakeSettings = IntakeSettings()
    limits: Limits = Limits()
    render: RenderSettings = RenderSettings()
    outbox: OutboxSettings = OutboxSettings()
    retention: RetentionSettings = RetentionSettings()

    @classmethod
    @override
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Command line over environment over file; no dotenv, no secret files."""
        del dotenv_settings, file_secret_settings
        toml = settings_cls.model_config.get("toml_file")
        file = (TomlConfigSettingsSource(settings_cls),) if toml else ()
        return (init_settings, env_settings, *file)


def load(file: Path | None = None, **overrides: Any) -> Settings:  # noqa: ANN401  # the values are pydantic's to judge
    """Read the configuration; raises SetupError E401 that names the wrong key and the nearest right one."""
    _require_readable(file)
    _refuse_unknown_variables()

    class FromFile(Settings):
        model_config = SettingsConfigDict(toml_file=file)

    try:
        return FromFile(**overrides)
    except ValidationError as error:
        raise SetupError("E401", _explain(error, file)) from error
    except SettingsError as error:
        raise SetupError("E401", f"a variable HEYGEMD_* cannot be read: {error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise SetupError("E401", f"{file} is not valid TOML: {error}") from error


def _require_readable(file: Path | None) -> None:
    """pydantic-settings ignores a file that is absent."""
    if file is None:
        return
    try:
        if not file.is_file():
            raise SetupError("E401", f"configuration file {file} does not exist")
        with file.open("rb"):
            return
    except OSError as error:
        raise SetupError("E401", f"configuration file {file} cannot be read: {error.strerror}") from error


def _refuse_unknown_variables() -> None:
    """pydantic-settings ignores unknown variables; a misspelt one must not."""
    known = _variables()
    tables = {name for name, field in Settings.model_fields.items() if _is_table(field.annotation)}
    for name in os.environ:
        if not name.upper().startswith("HEYGEMD_") or name in OWN_VARIABLES:
            continue
        if name.upper() not in known | {f"HEYGEMD_{table.upper()}" for table in tables}:
            raise SetupError("E401", f"unknown variable {name}{_nearest(name.upper(), known)}")


OWN_VARIABLES = frozenset({"HEYGEMD_CONFIG", "HEYGEMD_REQUIRE"})
"""The first names the configuration file; the second is read by the test suite, not by the daemon."""


def _is_table(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _variables() -> set[str]:
    """Return the names of all variables that set one value; a whole table may also come as JSON."""
    found = set()
    for name, field in Settings.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            found |= {f"HEYGEMD_{name}__{leaf}".upper() for leaf in inner.model_fields}
        else:
            found.add(f"HEYGEMD_{name}".upper())
    return found


def _explain(error: ValidationError, file: Path | None) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        hint = ""
        if problem["type"] == "extra_forbidden":
            hint = _nearest(str(problem["loc"][-1]), _names_at(problem["loc"][:-1]))
        lines.append(f"{key}: {problem['msg']}{hint}")
    return (f"{file}: " if file else "") + "; ".join(lines)


def _names_at(place: tuple[int | str, ...]) -> set[str]:
    model: type[BaseModel] = Settings
    for part in place:
        inner = model.model_fields[str(part)].annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    return set(model.model_fields)


def _nearest(name: str, known: set[str]) -> str:
    close = difflib.get_close_matches(name, sorted(known), n=1)
    return f" (did you mean {close[0]}?)" if close else ""
