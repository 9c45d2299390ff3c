"""What becomes of a job after one of its tasks has failed. Pure; the ladder of shortage is here:

half the batch ▸ a fresh worker ▸ no worker beside it ▸ wait for what others hold ▸ the CPU ▸ given up (E301, E303)
"""

from dataclasses import replace

from heygemd.errors import FaultError, HeygemdError, InputError, SetupError, error_for
from heygemd.scheduler.facts import Failure, GiveUp, Retry, Rules

REST_FIRST_S = 5.0
REST_LONGEST_S = 300.0
"""Rests between tries double from the first to the longest."""
START_REST_FIRST_S = 1.0
CHANGED_WEIGHTS = "E409"
"""A worker has found other weights than those that its job was planned with."""
TIMES_CHANGED = 3
"""Exchanged so often is damaged."""
"""A worker that ended before it was ready is tried again sooner: nothing was computed yet."""
MISSING_TOOLS = "E403"
"""There is no ffmpeg, though there was one when the daemon started: it is just being upgraded, or could not be run."""
CARD_ENCODER = "E304"
"""A card's video encoder has no session left, or broke."""
CARD_ENCODER_TRIES = 2
"""So often, whatever went well in between: sessions are taken by others for as long as it pleases them."""
SHORTAGES = frozenset({"E301", "E303"})
"""Graphics memory, main memory."""
MAY_BE_SHORTAGES = frozenset({None, "E110", "E500", "E501", "E502"})
"""What is said of a process that has ended in the middle of its work."""


def is_shortage(failure: Failure) -> bool:
    """Tell whether it was memory: the worker said so, or the kernel ended it, or its decoder, for that."""
    return failure.code in SHORTAGES or (failure.was_oom_killed and failure.code in MAY_BE_SHORTAGES)


def code_of(failure: Failure) -> str:
    """Return the code of a shortage: main memory unless the worker said otherwise."""
    return failure.code if failure.code in SHORTAGES else "E303"


def is_strike(failure: Failure) -> bool:
    """Tell whether a failure counts against the task: a death, a hang or a bug, but not a worker's bad start."""
    if not failure.was_ready or is_shortage(failure):
        return False
    return failure.code is None or isinstance(error_for(failure.code, ""), FaultError)


def judge(failure: Failure, rules: Rules) -> Retry | GiveUp:
    """Decide what becomes of the job after one of its tasks failed."""
    if is_shortage(failure):
        return _judge_shortage(failure, rules)
    if failure.code is None:
        return _judge_fault(failure, "E501", rules)
    error = error_for(failure.code, failure.message)
    if isinstance(error, InputError | SetupError):
        return _judge_refusal(failure, error)
    if isinstance(error, FaultError):
        return _judge_fault(replace(failure, message=error.message), error.code, rules)
    return _judge_encoder(failure) if error.code == CARD_ENCODER else _judge_machine(failure, error, rules)


def _judge_machine(failure: Failure, error: HeygemdError, rules: Rules) -> Retry | GiveUp:
    # Of the faults of the machine only a lost device can be the job's own doing, so only that one is counted.
    is_counted = error.code == "E302" and failure.was_ready
    if is_counted and failure.attempts >= rules.max_attempts:
        message = f"it was started {failure.attempts} times; last: {error.message}"
        return GiveUp(job_id=failure.job_id, code="E501", message=message)
    return _rest(failure, needs_fresh_worker=error.code == "E302" or not failure.was_ready, refund=not is_counted)


def _judge_encoder(failure: Failure) -> Retry:
    """Try again a little later, then do without it: a film never fails because of a card's encoder."""
    answer = _rest(failure, needs_fresh_worker=False, refund=True)
    if failure.encoder_faults < CARD_ENCODER_TRIES:
        return answer
    return replace(answer, delay_s=0.0, without_card_encoder=True)


def _judge_refusal(failure: Failure, error: InputError | SetupError) -> Retry | GiveUp:
    if error.code == MISSING_TOOLS:  # no fault of the job's
        return _rest(failure, needs_fresh_worker=True, refund=True)
    if error.code == CHANGED_WEIGHTS and not failure.was_ready and failure.failed_starts < TIMES_CHANGED:
        # Somebody has exchanged them since the order was made: with those that are there now it may go well.
        return _rest(failure, needs_fresh_worker=True, refund=True)
    return GiveUp(job_id=failure.job_id, code=error.code, message=error.message)


def judge_wait(job_id: str, code: str, waited_s: float, *, may_flee: bool, rules: Rules) -> Retry | None:
    """Decide about a job that finds no card with enough free memory (E301), or no card at all (E302).

    It waits, and in the end goes to the CPU; `may_flee`: there is one to go to. Nothing is given up here: others will
    let go of their memory some time.
    """
    if code not in ("E301", "E302") or not may_flee or not rules.cpu_fallback or waited_s < rules.memory_wait_s:
        return None
    return Retry(job_id=job_id, delay_s=0.0, batch_size=0, needs_fresh_worker=False, may_use_refuge=True)


def rest_s(times_before: int, first_s: float = REST_FIRST_S) -> float:
    """Length of the next rest: doubles each time, up to a limit."""
    return min(first_s * 2.0 ** min(times_before, 30), REST_LONGEST_S)


def _judge_shortage(failure: Failure, rules: Rules) -> Retry | GiveUp:
    """Smaller, fresh, alone, later, elsewhere: memory never fails a job while something of that is left."""
    is_dead = failure.code is None
    # A worker that cannot even load its engine has no batch yet.
    if failure.was_ready and failure.batch_size > 1:
        return _at_once(failure, batch_size=failure.batch_size // 2, needs_fresh_worker=is_dead)
    if failure.was_ready and not failure.was_fresh:
        return _at_once(failure, batch_size=1)
    if not failure.was_alone:
        return replace(_at_once(failure, batch_size=failure.batch_size), needs_device_alone=True)
    is_hopeful = failure.others_bytes > 0 or failure.is_larger_there
    if is_hopeful and failure.memory_waited_s < rules.memory_wait_s:
        return _later(failure)
    if failure.is_refuge_there and rules.cpu_fallback and not failure.is_cpu:
        return replace(_at_once(failure, batch_size=failure.batch_size), may_use_refuge=True)
    return _later(failure) if is_hopeful else _nothing_left(failure)


def _at_once(failure: Failure, *, batch_size: int, needs_fresh_worker: bool = True) -> Retry:
    return Retry(job_id=failure.job_id, delay_s=0.0, batch_size=batch_size, needs_fresh_worker=needs_fresh_worker)


def _later(failure: Failure) -> Retry:
    return replace(_rest(failure, needs_fresh_worker=True, refund=True), needs_device_alone=True)


def _nothing_left(failure: Failure) -> GiveUp:
    code = code_of(failure)
    message = f"not even one frame at a time fits, with nobody else on the device: {failure.message}"
    return GiveUp(job_id=failure.job_id, code=code, message=message, traceback=failure.traceback)


def _judge_fault(failure: Failure, code: str, rules: Rules) -> Retry | GiveUp:
    if not failure.was_ready:
        if failure.failed_starts >= rules.max_attempts:
            message = f"no worker comes up: {failure.message}"
            return GiveUp(job_id=failure.job_id, code="E500", message=message, traceback=failure.traceback)
        delay_s = rest_s(failure.failed_starts - 1, START_REST_FIRST_S)
        return replace(_rest(failure, needs_fresh_worker=True, refund=True), delay_s=delay_s)
    if failure.strikes >= rules.max_strikes:
        return GiveUp(job_id=failure.job_id, code=code, message=failure.message, traceback=failure.traceback)
    # A death may have been the kernel's answer to too much memory; half as much costs little to try.
    batch_size = max(1, failure.batch_size // 2) if failure.code is None else failure.batch_size
    return Retry(job_id=failure.job_id, delay_s=0.0, batch_size=batch_size, needs_fresh_worker=True)


def _rest(failure: Failure, *, needs_fresh_worker: bool, refund: bool) -> Retry:
    return Retry(
        job_id=failure.job_id,
        delay_s=rest_s(failure.rests),
        batch_size=failure.batch_size,
        needs_fresh_worker=needs_fresh_worker,
        refund=refund,
    )
