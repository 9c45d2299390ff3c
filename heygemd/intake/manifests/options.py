"""The `options` of a row, of a folder and of a `job.toml`: one table for all of them. Pure."""

from typing import Any, Final, get_args

from heygemd.intake.manifests.tree import Node
from heygemd.intake.manifests.values import integer_of, mapping_of, word_of
from heygemd.jobs.choice import OptionChoice
from heygemd.jobs.job import EngineName, LengthPolicy, SilenceRule
from heygemd.limits import X264Preset

PRIORITY_RANGE: Final = (-1000, 1000)
CRF_RANGE: Final = (0, 40)
AUDIO_OFFSET_RANGE_MS: Final = (-60_000, 60_000)
PINGPONG: Final = "pingpong"
"""What people call the length policy `auto`."""
_ENGINES: Final = tuple(engine.value for engine in EngineName)
_LENGTHS: Final = (*(policy.value for policy in LengthPolicy), PINGPONG)
_SILENCES: Final = tuple(rule.value for rule in SilenceRule)
_PRESETS: Final = get_args(X264Preset)
OPTION_NAMES: Final = ("engine", "length", "silence", "audio_offset_ms", "crf", "preset")


def read_options(node: Node) -> OptionChoice:
    """Return what was chosen; raises FlawError E122, E123 or E124."""
    mapping = mapping_of(node, "options", OPTION_NAMES)
    return OptionChoice(**{name: _read(name, entry.value) for name, entry in mapping.entries.items()})


def read_priority(node: Node) -> int:
    """Return the priority; raises FlawError E124."""
    return integer_of(node, "priority", *PRIORITY_RANGE)


def _read(name: str, node: Node) -> Any:  # noqa: ANN401  # each field of OptionChoice has a type of its own
    match name:
        case "engine":
            return EngineName(word_of(node, name, _ENGINES))
        case "length":
            return LengthPolicy(word_of(node, name, _LENGTHS))
        case "silence":
            return SilenceRule(word_of(node, name, _SILENCES))
        case "preset":
            return word_of(node, name, _PRESETS)
        case "crf":
            return integer_of(node, name, *CRF_RANGE)
        case _:
            return integer_of(node, name, *AUDIO_OFFSET_RANGE_MS)
