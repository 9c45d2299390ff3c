"""What if the first bytes lied? `fooled.py FILE …` asks about each file as if `sniff` had named each demuxer.

It goes through the guarded door, and says in a line what came of each question.
"""

import sys
from pathlib import Path

from heygemd.errors import HeygemdError
from heygemd.limits import Limits
from heygemd.media import probe
from heygemd.media.openfile import open_file
from heygemd.media.sniff import AT_START, IN_CHUNKS

DEMUXERS = tuple(
    dict.fromkeys([*(name for _, name in AT_START), *IN_CHUNKS.values(), "mov", "mpegts", "mp3", "aac", "bmp_pipe"])
)
LIMITS = Limits(probe_wall_s=10, stall_s=10)

if __name__ == "__main__":
    for place in sys.argv[1:]:
        for demuxer in DEMUXERS:
            with open_file(Path(place)) as file:
                try:
                    said = str(probe.describe(file, demuxer, LIMITS)[0].get("streams"))
                except HeygemdError as error:
                    said = f"{error.code} {error.message}"
            sys.stdout.write(f"{Path(place).parent.name} as {demuxer}: {said}\n")
