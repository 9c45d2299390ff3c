"""What a mouth does in one moment, in the measures of one person."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Mouth:
    """The wanted mouth of one frame; lengths are eye distances in the face frame."""

    opening: float
    """Gap between the lips in their middle; 0: they touch."""
    width: float
    """Distance of the mouth's corners."""
    closure: float = 0.0
    """0..1: how firmly the lips are pressed together (b, p, m); 0: they merely touch."""
    lipteeth: float = 0.0
    """0..1: how far the lower lip lies at the edge of the upper teeth (f, v)."""
