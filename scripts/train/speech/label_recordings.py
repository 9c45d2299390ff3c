"""Says which phones are spoken when in recordings of English, with PocketSphinx, in an environment of its own.

    python3 -m venv PHONER && PHONER/bin/pip install pocketsphinx==5.1.1
    PHONER/bin/python scripts/train/speech/label_recordings.py RECORDINGS OUT

PocketSphinx and its US English model (both in the package, under the BSD licence of Carnegie Mellon) write down what
they understand and place its phones. What they mishear mostly sounds alike, so the mouth of the wrong word is seldom
far from that of the right one. Writes OUT/<name>.json for every RECORDINGS/*.flac, of its first LONGEST_S seconds:
[[start in s, end in s, ARPAbet phone], ...]. Imports no heygemd.
"""

import argparse
import json
import subprocess
from pathlib import Path

from pocketsphinx import Decoder

LONGEST_S = 11
RATE_HZ = 16_000
FRAME_S = 0.01


def sound_of(path: Path) -> bytes:
    """Read its beginning as mono PCM, 16 bit, 16 kHz."""
    wanted = ("-ac", "1", "-ar", str(RATE_HZ), "-t", str(LONGEST_S), "-f", "s16le", "-")
    return subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), *wanted], capture_output=True, check=True).stdout


def phones_of(sound: bytes, decoder: Decoder, search: str) -> list[tuple[float, float, str]]:
    """Recognise words, then lay their phones on the sound; empty where nothing was understood."""
    decoder.activate_search(search)
    _hear(decoder, sound)
    if not decoder.hyp():
        return []
    decoder.set_alignment()  # of the words that were just recognised
    try:
        _hear(decoder, sound)
    except RuntimeError:  # the second pass lost its way
        return []
    phones = (phone for word in decoder.get_alignment() for phone in word)
    return [
        (round(phone.start * FRAME_S, 2), round((phone.start + phone.duration) * FRAME_S, 2), phone.name)
        for phone in phones
    ]


def _hear(decoder: Decoder, sound: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(sound, full_utt=True)
    decoder.end_utt()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recordings", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    decoder = Decoder(samprate=RATE_HZ, loglevel="FATAL")
    search = decoder.current_search()
    for path in sorted(arguments.recordings.glob("*.flac")):
        labels = arguments.out / f"{path.stem}.json"
        if not labels.exists():
            phones = phones_of(sound_of(path), decoder, search)
            part = labels.with_suffix(".part")
            part.write_text(json.dumps(phones), encoding="utf-8")
            part.rename(labels)
            print(f"{path.name}: {len(phones)} phones", flush=True)


if __name__ == "__main__":
    main()
