"""What hypothesis draws from: few names, so that they meet."""

from hypothesis import strategies as st

from tests.protocol import goods, model

FOLDERS = st.sampled_from(["", "", "a", "a/b", "Spring.job", "a/Talk.job"])
STEMS = st.sampled_from(["anna", "anna", "bert", "Anna", "_default"])
PICTURES = st.sampled_from(["mp4", "mp4", "mp4", "mov"])
SOUNDS = st.sampled_from(["wav", "wav", "wav", "ogg"])
SUFFIXES = st.one_of(PICTURES, SOUNDS)
QUALITIES = st.sampled_from([goods.GOOD] * 6 + [goods.CUT, goods.FACELESS])
HOW = st.sampled_from(["copied", "renamed"])
PAUSES = st.sampled_from([0, 0, 1, 3, 8, 20])
"""Ticks after an act."""
NUMBERS = st.integers(0, 7)
"""Which of the things that lie there: modulo how many there are."""
PATHS = st.sampled_from(["anna", "bert", "b/anna"])
ROWS = st.builds(
    model.Row,
    video=st.builds("{}.mp4".format, PATHS),
    audio=st.one_of(st.builds("{}.wav".format, PATHS), st.builds("{}.wav".format, PATHS), st.just("../x.wav")),
    row_id=st.one_of(st.none(), st.sampled_from(["ep1", "ep2"])),
    output=st.one_of(st.none(), st.none(), st.sampled_from(["films/one.mp4", "two"])),
)
CONFIGS = st.sampled_from([b"[options]\ncrf = 30\n", b"[options]\ncrf = 20\n", b"priority = 3\n", b"priorityy = 3\n"])
"""The last one is wrong."""
