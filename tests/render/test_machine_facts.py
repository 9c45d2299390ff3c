"""What the doctor's child finds on this machine."""

import pytest

from heygemd.render import machine_facts
from heygemd.render.wav2lip import mel


def test_a_mel_bank_that_is_not_librosa_s_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(machine_facts._loaded("librosa")) == {"version"}
    wrong = 1.5 * mel.mel_bank()
    monkeypatch.setattr(mel, "mel_bank", lambda: wrong)
    assert "off by" in machine_facts._loaded("librosa")["error"]
