"""espeak-ng through ctypes: sound and the times of its phonemes, for every built-in voice.

espeak's `--pho` gives times for mbrola voices only; the library's phoneme events (with IPA names) come for all.
espeak-ng is GPL-3.0 and a tool here: it is called, nothing of it is copied.
"""

import ctypes
import os
import pickle
import traceback
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LIBRARY = "libespeak-ng.so.1"

_SYNCHRONOUS_OUTPUT = 2
_PHONEME_EVENTS, _IPA_NAMES, _DO_NOT_EXIT = 0x1, 0x2, 0x8000
_LIST_END, _PHONEME = 0, 7
_RATE, _PITCH, _PITCH_RANGE, _WORD_GAP = 1, 3, 4, 7
_POSITION_CHARACTER, _UTF8 = 1, 1


class _EventId(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    """`espeak_EVENT` of speak_lib.h, API revision 12."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position_ms", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _EventId),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """How to speak: words a minute, and pitch, its range and the gap between words in espeak's units."""

    rate: int = 175
    pitch: int = 50
    pitch_range: int = 50
    word_gap: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """What espeak said."""

    sound: NDArray[np.float32]
    """-1..1."""
    rate_hz: int
    phonemes: list[tuple[float, str]]
    """Start in seconds and IPA name; an empty name is a pause."""


class UnknownVoiceError(ValueError):
    """espeak-ng as it is installed has no such voice."""


class Espeak:
    """A speaker without memory: the same words in the same voice give the same samples, whatever was said before.

    espeak carries its oscillators' phase and its noise from one sentence to the next. Therefore each sentence is
    spoken by a forked child of this process, which itself never speaks.
    """

    def __init__(self) -> None:
        self._library = ctypes.CDLL(LIBRARY)
        flags = _PHONEME_EVENTS | _IPA_NAMES | _DO_NOT_EXIT
        self._rate_hz: int = self._library.espeak_Initialize(_SYNCHRONOUS_OUTPUT, 0, None, flags)
        if self._rate_hz <= 0:
            raise OSError(f"{LIBRARY} finds no espeak-ng-data")
        self._samples: list[NDArray[np.int16]] = []
        self._phonemes: list[tuple[float, str]] = []
        self._callback = _Callback(self._take)

    def say(self, text: str, voice: str, manner: Manner | None = None) -> Speech:
        """Speak; `voice` is a voice with or without a variant, like en-us+f3. Raises UnknownVoiceError."""
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                with os.fdopen(writing, "wb") as pipe:
                    pickle.dump(self._say_here(text, voice, manner or Manner()), pipe)
                os._exit(0)
            finally:  # whatever happens, the child ends here
                traceback.print_exc()
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            answer = pipe.read()
        _, status = os.waitpid(child, 0)
        if status != 0:
            raise OSError(f"espeak-ng failed (status {status}) at {text!r} in the voice {voice}")
        speech: Speech | None = pickle.loads(answer)
        if speech is None:
            raise UnknownVoiceError(voice)
        return speech

    def _say_here(self, text: str, voice: str, manner: Manner) -> Speech | None:
        # The library has one callback for the whole process: set it here, where another speaker cannot take it away.
        self._library.espeak_SetSynthCallback(self._callback)
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            return None
        for parameter, value in (
            (_RATE, manner.rate),
            (_PITCH, manner.pitch),
            (_PITCH_RANGE, manner.pitch_range),
            (_WORD_GAP, manner.word_gap),
        ):
            self._library.espeak_SetParameter(parameter, value, 0)
        content = text.encode() + b"\0"
        self._library.espeak_Synth(content, len(content), 0, _POSITION_CHARACTER, 0, _UTF8, None, None)
        self._library.espeak_Synchronize()
        whole = np.concatenate(self._samples) if self._samples else np.zeros(0, np.int16)
        sound = (whole / 32_768).astype(np.float32)
        return Speech(sound=sound, rate_hz=self._rate_hz, phonemes=self._phonemes)

    def _take(self, samples: "ctypes._Pointer[ctypes.c_short]", count: int, events: "ctypes._Pointer[_Event]") -> int:
        if count > 0:  # 0 at the end, with a null pointer
            self._samples.append(np.ctypeslib.as_array(samples, (count,)).copy())
        k = 0
        while events[k].type != _LIST_END:
            event = events[k]
            if event.type == _PHONEME:
                name = ctypes.string_at(ctypes.addressof(event) + _Event.id.offset, 8).split(b"\0")[0]
                self._phonemes.append((event.audio_position_ms / 1000, name.decode("utf-8", "replace")))
            k += 1
        return 0
