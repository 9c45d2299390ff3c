"""Starts a worker: `python -m heygemd.render --engine atlas …` (see `worker.py`).

While torch is imported nothing of it can be garbage yet; looking for some all the same takes a sixth of the CPU seconds
that a worker needs until it is ready. What was imported is never looked at again.
"""

import gc


def start() -> None:
    """Import the worker and run it."""
    gc.disable()
    from heygemd.render.worker import main  # noqa: PLC0415  # after the line above

    gc.freeze()
    gc.enable()
    main()


if __name__ == "__main__":
    start()
