"""What the tests of tasks and of workers share: an engine that can be watched, tasks, and what a worker said."""

import numpy as np

from heygemd.jobs.job import EngineName
from heygemd.planning.plan import Event, Task, TaskKind, from_json
from heygemd.render.passthrough import Passthrough
from heygemd.render.pulse import unheard


class Darken(Passthrough):
    """Needs a face, hears the length of the sound, and paints every second frame black."""

    name = EngineName.ATLAS
    needs_face = True

    def __init__(self):
        self.heard = 0
        self.starts = []

    def listen(self, sound, pulse=unheard):
        self.heard += 1
        return {"count": np.array([len(sound)], np.float32)}

    def prepare(self, clip, pulse=unheard):
        self.clip = clip
        return self

    def render(self, start, frames):
        self.starts.append((start, len(frames)))
        painted = [(start + i) % 2 == 1 for i in range(len(frames))]
        for planes, is_painted in zip(frames, painted, strict=True):
            if is_painted:
                planes[:] = 128
        return painted


def files_of(order):
    """What lies in the work directory, by relative path."""
    return sorted(str(path.relative_to(order.work_dir)) for path in order.work_dir.rglob("*") if path.is_file())


def said_by(worker):
    """Every event, in the order in which it was said."""
    return [from_json(Event, line) for line in worker.out.getvalue().splitlines()]


def task_of(order, kind, segment=None, batch=16):
    """A task of this kind, as the daemon would give it."""
    name = "order.json" if kind is TaskKind.ANALYSE else "plan.json"
    return Task(job_id=order.job_id, kind=kind, order_path=order.work_dir / name, segment=segment, batch_size=batch)


def done_by(worker, task):
    """The last that was said about a task, when it has been carried out."""
    worker.carry_out(task)
    return said_by(worker)[-1]
