"""Names, special files, folders and manifests through a real inbox: each case ends as it should, and nothing else does.

One daemon for each group: what one case does must not be felt by the others. Here is what is refused, waits or is
ignored, and of what becomes a film one of each kind; `make corpus` runs every case.
"""

import zlib

import pytest

from tests.corpus import folders, manifests, names, specials
from tests.corpus.case import Case, Ending, disagreement
from tests.corpus.strangers import StrangersInbox

pytestmark = pytest.mark.ffmpeg

LIMIT_S = 900.0
"""Many times what it takes on an idle machine."""
FILMS = {
    "name": (
        "dash", "percent-03d", "script", "shell", "bidi", "255-bytes-chinese", "partners-nfd", "folder-deep",
        "way-too-long-for-the-outbox", "way-longer-when-escaped",
    ),
    "folder": ("ticket-depth", "ticket-surrogate", "options-good", "config-cut", "several-sounds", "cancel"),
    "manifest": ("json-half-good", "json-bidi-id", "yaml-time", "csv-formulas", "text-gb18030", "path-pattern"),
}  # fmt: skip
"""Cases that become films and are run here: a film, or a copy of one, costs more than any refusal."""
CHOSEN = frozenset(f"{kind}-{name}" for kind, stems in FILMS.items() for name in stems)
GROUPS = {"names": names, "special files": specials, "folders": folders, "manifests": manifests}
LATE_NOTICE_S = 3600.0
"""Beside manifests lie many lone files: the notices about those would leave no room for any other."""


def is_chosen(case: Case) -> bool:
    """Films by name; of the manifests that are refused a third, for most are known to their tests; all else."""
    if case.name in CHOSEN or case.group == specials.GROUP:
        return True
    is_sampled = case.group != manifests.GROUP or zlib.crc32(case.name.encode()) % 3 == 0
    return case.answer.ending is not Ending.RENDER and is_sampled


def test_every_film_that_is_chosen_is_a_case():
    assert {case.name for group in GROUPS.values() for case in group.cases()} >= CHOSEN


@pytest.mark.slow
@pytest.mark.parametrize("group", GROUPS)
def test_every_case_ends_as_expected_and_nothing_is_lost_or_broken(group, tmp_path):
    cases = tuple(filter(is_chosen, GROUPS[group].cases()))
    inbox = StrangersInbox(tmp_path, notice_s=LATE_NOTICE_S if group == "manifests" else 0.5)
    inbox.prepare()
    inbox.drop(cases)
    inbox.run(cases, limit_s=LIMIT_S)
    wrong = {case.name: told for case in cases if (told := disagreement(case, inbox.seen[case.name]))}
    assert wrong == {}
    assert inbox.judge() == []
