"""The `options` of a row, of a folder and of a `job.toml`: one table for all of them. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, Final, get_args

from heygemd.intake.manifests.tree import Node
from heygemd.intake.manifests.values import face_of, integer_of, mapping_of, truth_of, word_of
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
_READERS: Final[Mapping[str, Callable[[Node, str], Any]]] = {
    "engine": lambda node, name: EngineName(word_of(node, name, _ENGINES)),
    "length": lambda node, name: LengthPolicy(word_of(node, name, _LENGTHS)),
    "silence": lambda node, name: SilenceRule(word_of(node, name, _SILENCES)),
    "audio_offset_ms": lambda node, name: integer_of(node, name, *AUDIO_OFFSET_RANGE_MS),
    "face": face_of,
    "idle_motion": truth_of,
    "detail": truth_of,
    "crf": lambda node, name: integer_of(node, name, *CRF_RANGE),
    "preset": lambda node, name: word_of(node, name, _PRESETS),
}
OPTION_NAMES: Final = tuple(_READERS)


def read_options(node: Node) -> OptionChoice:
    """Return what was chosen; raises FlawError E122, E123 or E124."""
    mapping = mapping_of(node, "options", OPTION_NAMES)
    return OptionChoice(**{name: _READERS[name](entry.value, name) for name, entry in mapping.entries.items()})


def read_priority(node: Node) -> int:
    """Return the priority; raises FlawError E124."""
    return integer_of(node, "priority", *PRIORITY_RANGE)
