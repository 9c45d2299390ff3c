"""Names for what goes back: numbered so that nothing is replaced and what belongs together stays so."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heygemd.intake import names
from heygemd.intake.custody import numbered_folder, numbered_marker
from heygemd.naming import NAME_MAX_BYTES

TEXT = st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1, max_size=80)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("anna.job", "anna (2).job"),
        ("anna.JOB", "anna (2).JOB"),
        ("anna__abcdefgh", "anna__abcdefgh (2)"),
        ("ep1.5__abcdefgh", "ep1.5__abcdefgh (2)"),
        (".job", ".job (2)"),
    ],
)
def test_folder_is_numbered_before_its_job_suffix_only(name, wanted):
    assert numbered_folder(name, 2) == wanted
    assert numbered_folder(name, 0) == name


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("anna.wav.ready", "anna (2).wav.ready"),
        ("anna.READY", "anna (2).READY"),
        ("anna.job.ready", "anna (2).job.ready"),
    ],
)
def test_marker_gets_the_number_of_what_it_commits(name, wanted):
    assert numbered_marker(name, 2) == wanted
    assert numbered_marker(name, 0) == name


@given(TEXT, st.integers(1, 10**6), st.sampled_from(["", ".job"]))
def test_numbered_folder_fits_differs_and_keeps_its_suffix(stem, number, suffix):
    name = (stem * 4)[:60] + suffix
    new = numbered_folder(name, number)
    assert len(new.encode()) <= NAME_MAX_BYTES
    assert new != name
    assert new.endswith(suffix)


@given(TEXT, st.integers(0, 10**6))
def test_marker_follows_its_file_and_fits(stem, number):
    name = f"{stem[:40]}.wav"
    new = numbered_marker(f"{name}.ready", number)
    assert len(new.encode()) <= NAME_MAX_BYTES
    if len(names.numbered(name, number).encode()) <= NAME_MAX_BYTES - len(".ready"):
        assert new == f"{names.numbered(name, number)}.ready"
