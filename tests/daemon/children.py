"""A child process that answers when the test wants."""

from collections import deque


class Child:
    """Stands for `Resident`: notes what it is asked, answers with what it is given."""

    def __init__(self, nursery, factory, *args):
        self.asked, self.answers, self.is_busy, self.ended = [], deque(), False, False

    def fileno(self):
        return 77 if self.is_busy else None

    def ask(self, method, *args, now_s, limit_s):
        assert not self.is_busy
        self.asked.append((method, args, now_s, limit_s))
        self.is_busy = True

    def poll(self, now_s):
        if not self.is_busy or not self.answers:
            return None
        self.is_busy = False
        return self.answers.popleft()

    def end(self):
        self.ended = True
