"""Flush a file to disk while it is still being written, so that the end need not wait for all of it."""

import os
from threading import Thread

INTERVAL = 16 * 1024 * 1024
"""Bytes after which flushing justifies a thread."""


class Flusher:
    """Flushes a file in the background, one flush at a time."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._thread: Thread | None = None
        self._waiting = 0
        self._error: OSError | None = None

    def wrote(self, size: int) -> None:
        """Report that `size` more bytes were written."""
        self._waiting += size
        if self._waiting >= INTERVAL and not (self._thread and self._thread.is_alive()):
            self._waiting = 0
            self._thread = Thread(target=self._flush, daemon=True)
            self._thread.start()

    def _flush(self) -> None:
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            # The kernel reports a failure once: a later flush would seem to succeed.
            self._error = error

    def wait(self) -> None:
        """Wait for a running flush; call before the descriptor is closed."""
        if self._thread:
            self._thread.join()

    def finish(self) -> None:
        """Flush the rest. Raises the `OSError` of any flush that failed."""
        self.wait()
        if self._error:
            raise self._error
        os.fsync(self._descriptor)
