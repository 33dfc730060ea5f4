"""What passes between a command and the page that works for it."""

import dataclasses
import hmac
import pathlib
import secrets
import threading
import time

# A page says every second that it is there, and asks for work for this long at once.
SILENCE_SECONDS = 15
POLL_SECONDS = 5


class Busy(Exception):
    """Another page does the work already."""


class Lost(Exception):
    """The page went away; the message says how that was found."""


class Absent(Exception):
    """No page was opened in time."""


class Late(Exception):
    """A job took longer than it may."""


@dataclasses.dataclass
class Job:
    """One round of work: a message for the page, plain values for JSON, and a .tflite
    file.

    `inputs` are the parts of what is run through it, bytes, of whose outputs
    `output_sizes` has the bytes; `outputs` has what the page posted, by the part's
    number, and `result` what it posted in the end. `id` entitles to post results of
    this round, once."""

    message: dict
    model: pathlib.Path
    inputs: list
    output_sizes: list
    id: str = dataclasses.field(default_factory=lambda: secrets.token_urlsafe(16))
    outputs: dict = dataclasses.field(default_factory=dict)
    result: dict | None = None


class PageJobs:
    """One job at a time, for one page at a time. The page's address ends with `token`,
    and all its requests carry it."""

    def __init__(self):
        self.token = secrets.token_urlsafe(16)
        self._changed = threading.Condition()
        self._job = None
        self._taken = self._ended = self._end_told = False
        self._page, self._seen, self._poll = None, None, 0

    # ---- for the command ----

    def run(self, job, first_seconds, seconds):
        """Has a job done by the page, which fills in its `outputs` and `result`.

        A page that never came is waited for `first_seconds`, or it is `Absent`; from
        when a page has taken the job it may take `seconds`, or it is `Late`; and a page
        may be `Lost`."""
        with self._changed:
            self._job, self._taken = job, False
            self._changed.notify_all()
            try:
                self._wait_for_page(first_seconds)
                self._wait_for_result(job, seconds)
            finally:
                self._job = None

    def _wait_for_page(self, first_seconds):
        came = self._page is not None
        limit = SILENCE_SECONDS if came else first_seconds
        if not self._changed.wait_for(lambda: self._taken, limit):
            if came:
                raise Lost("it was closed, or its device sleeps")
            raise Absent

    def _wait_for_result(self, job, seconds):
        begin = time.monotonic()
        while job.result is None:
            if self._page is None:
                raise Lost("it was closed")
            if self._silent():
                raise Lost(f"it has been silent for {SILENCE_SECONDS} seconds")
            if time.monotonic() - begin > seconds:
                raise Late
            self._changed.wait(0.5)

    def end(self):
        """Tells the page, if one asks, that there is no more work."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            if self._page is not None:
                self._changed.wait_for(lambda: self._end_told, 1)

    # ---- for the page ----

    def knows(self, token):
        """Whether a request comes from the page; takes as long for any token."""
        return hmac.compare_digest((token or "").encode(), self.token.encode())

    def take(self, page):
        """What a page shall do next: a message, or `None` for nothing yet."""
        with self._changed:
            if self._page not in (None, page) and not self._silent():
                raise Busy
            self._page, self._seen = page, time.monotonic()
            self._poll = poll = self._poll + 1

            def answered():
                # Who asked before may be gone: the newest question gets the work.
                return self._has_work() or poll != self._poll or page != self._page

            self._changed.wait_for(answered, POLL_SECONDS)
            if poll != self._poll or page != self._page or not self._has_work():
                return None
            self._seen = time.monotonic()
            if self._ended:
                return {"kind": "end"}
            self._taken = True
            self._changed.notify_all()
            return {"id": self._job.id, **self._job.message}

    def end_told(self):
        """The page knows that there is no more work."""
        with self._changed:
            self._end_told = True
            self._changed.notify_all()

    def _silent(self):
        return time.monotonic() - self._seen > SILENCE_SECONDS

    def _has_work(self):
        return self._ended or (self._job is not None and not self._taken)

    def leave(self, page):
        """A page says that it is being closed."""
        with self._changed:
            if page is not None and page == self._page:
                self._page = None
                self._changed.notify_all()

    def job(self, identity):
        """The job with this identity, or `None` when it is not or no more under way.
        Whoever asks is taken as a sign of life."""
        with self._changed:
            job = self._job
            if job is None or job.result is not None:
                return None
            if not hmac.compare_digest((identity or "").encode(), job.id.encode()):
                return None
            self._seen = time.monotonic()
            return job

    def finish(self, job, result):
        """Ends a job with what the page posted; `False` if it had ended before."""
        with self._changed:
            if job.result is not None or job is not self._job:
                return False
            job.result = result
            self._changed.notify_all()
            return True
