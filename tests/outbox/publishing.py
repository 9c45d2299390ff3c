"""A second job, and the name that a film would get."""

from heygemd.jobs.roots import Root
from heygemd.outbox.publish import choose_name

OTHER_ID = "20250131T080001000-zyxwvuts76"


def chosen(root: Root, samples, stem: str = "anna", policy: str = "version", job_id: str | None = None) -> str:
    return choose_name(root.outbox, "lessons", stem, policy, job_id or samples.job_id)
