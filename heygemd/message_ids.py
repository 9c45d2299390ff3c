"""The number by which the journal knows an event: 128 bits made of its name, the same on every machine. Pure.

The catalog (`systemd/heygemd.catalog`) explains events by these numbers, so the namespace never changes.
"""

import uuid
from functools import cache

NAMESPACE = uuid.UUID("8db617da-a07d-407a-a72e-da79444f7a82")


@cache
def message_id(event: str) -> str:
    """Return the MESSAGE_ID of an event as 32 hexadecimal digits."""
    return uuid.uuid5(NAMESPACE, event).hex
