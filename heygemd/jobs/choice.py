"""What somebody chose and what they left open: options of a folder, a manifest or a row, laid over each other."""

from dataclasses import dataclass, fields, replace

from heygemd.jobs.job import EngineName, LengthPolicy, RenderOptions, SilenceRule
from heygemd.limits import X264Preset


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionChoice:
    """The fields of `RenderOptions`; None where nothing was chosen."""

    engine: EngineName | None = None
    length: LengthPolicy | None = None
    silence: SilenceRule | None = None
    audio_offset_ms: int | None = None
    face: str | None = None
    idle_motion: bool | None = None
    detail: bool | None = None
    crf: int | None = None
    preset: X264Preset | None = None

    def over(self, options: RenderOptions) -> RenderOptions:
        """Return `options` with what was chosen here."""
        chosen = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(options, **chosen)

    def over_choice(self, other: "OptionChoice") -> "OptionChoice":
        """Return one choice: this one where it says something, else the other."""
        chosen = {field.name: value for field in fields(self) if (value := getattr(self, field.name)) is not None}
        return replace(other, **chosen)
