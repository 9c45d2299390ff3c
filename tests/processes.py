"""What tests ask about processes that are not their own children."""

import psutil


def is_alive(pid: int) -> bool:
    """Tell whether the process still runs; a zombie that nobody collects does nothing any more."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
