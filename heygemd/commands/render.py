"""`heygemd render`: one film without a daemon."""

import math
from pathlib import Path
from typing import Annotated

import typer

from heygemd.commands.console import err, explained, usage
from heygemd.commands.options import ConfigOption, FaceOption, JsonOption, set_up_log, settings_of
from heygemd.jobs.job import DEFAULT_FACE, EngineName, LengthPolicy, RenderOptions, SilenceRule
from heygemd.limits import X264Preset


def render(
    video: Annotated[Path, typer.Option("--video", "-v", help="The face: a clip or a still picture.")],
    audio: Annotated[Path, typer.Option("--audio", "-a", help="The voice.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film to make (.mp4).")],
    engine: Annotated[EngineName | None, typer.Option(help="Which renderer.")] = None,
    length: Annotated[LengthPolicy, typer.Option(help="When sound and picture differ in length.")] = LengthPolicy.AUTO,
    silence: Annotated[SilenceRule, typer.Option(help="What the mouth does in silence.")] = SilenceRule.CLOSE,
    audio_offset_ms: Annotated[int, typer.Option(min=-2000, max=2000, help="Mouth later than sound.")] = 0,
    face: FaceOption = DEFAULT_FACE,
    idle_motion: Annotated[bool, typer.Option(help="A still picture blinks and sways a little.")] = True,
    detail: Annotated[bool, typer.Option(help="wav2lip: the mouth gets the source's fine texture.")] = True,
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

    _check_words(video, audio, output, overwrite=overwrite)
    if segment_s is not None and not math.isfinite(segment_s):
        usage(f"--segment-s: {segment_s} is not a length")
    with explained(as_json=json_output):
        settings = settings_of(config)
        if settings.log_level == "info":  # the bar and the report say it; workers keep to the same level
            settings = settings.model_copy(update={"log_level": "error"})
        set_up_log(settings)
        defaults = default_options(settings.render)
        options = RenderOptions(
            engine=engine or defaults.engine,
            length=length,
            silence=silence,
            audio_offset_ms=audio_offset_ms,
            face=face,
            idle_motion=idle_motion,
            detail=detail,
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


def _check_words(video: Path, audio: Path, output: Path, *, overwrite: bool) -> None:
    for name, path in (("--video", video), ("--audio", audio), ("--output", output)):
        if not _is_unicode(path):
            usage(f"{name}: {str(path)!a} is not valid UTF-8; rename it")
    for name, path in (("--video", video), ("--audio", audio)):
        if not path.is_file():
            usage(f"{name}: {path} is not a file")
    if output.suffix.lower() != ".mp4":
        usage(f"--output: {output} must end in .mp4")
    if not output.absolute().parent.is_dir():
        usage(f"--output: the folder {output.absolute().parent} does not exist")
    if output.is_dir():
        usage(f"--output: {output} is a folder")
    if output.exists() and any(output.samefile(path) for path in (video, audio)):
        usage(f"--output: {output} is one of the inputs")
    if output.exists() and not overwrite:
        usage(f"--output: {output} exists already; give --overwrite to replace it")


def _is_unicode(path: Path) -> bool:
    try:
        str(path.absolute()).encode()
    except UnicodeEncodeError:
        return False
    return True


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command()(render)
