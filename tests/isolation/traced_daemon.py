"""The hasty daemon under strace, which writes `trace` beside the configuration: `traced_daemon.py run --config FILE`.

It is started by somebody who stands in `TRAP`, a folder beside the configuration.
"""

import os
import sys
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from tests.isolation.law import TRAP
    from tests.isolation.trace import traced

    config = Path(sys.argv[sys.argv.index("--config") + 1])
    trace = config.with_name("trace")
    hasty = Path(__file__).parents[1] / "mounts" / "hasty_daemon.py"
    command = traced([sys.executable, str(hasty), *sys.argv[1:]], trace)
    # `import cv2` in whoever runs the tests makes strace itself look for libraries where it stands.
    os.environ.pop("LD_LIBRARY_PATH", None)
    os.chdir(config.with_name(TRAP))
    os.execvp(command[0], command)
