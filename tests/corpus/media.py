"""Every case of media."""

from tests.corpus import (
    media_bombs,
    media_codecs,
    media_damage,
    media_films,
    media_mistakes,
    media_playlists,
    media_sounds,
    media_stills,
)
from tests.corpus.case import Case
from tests.corpus.kit import Kit

PARTS = (
    media_playlists,
    media_bombs,
    media_mistakes,
    media_damage,
    media_codecs,
    media_films,
    media_stills,
    media_sounds,
)


def cases(kit: Kit) -> tuple[Case, ...]:
    """Return them, in the order of the table; their names do not depend on the kit."""
    return tuple(case for part in PARTS for case in part.cases(kit))
