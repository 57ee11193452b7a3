"""What a child process has written, in a file without a name, bounded while somebody counts."""

import fcntl
import os
import tempfile
import weakref

KEPT_BYTES = 4_000_000

_ANSWERED = b" HTTP/1.1"


class ProcessLog:
    """The output of one process in all its lives; give it to `Popen`."""

    def __init__(self) -> None:
        self._file, path = tempfile.mkstemp()
        os.unlink(path)  # it has no name any more, so nothing is left to remove
        flags = fcntl.fcntl(self._file, fcntl.F_GETFL)
        fcntl.fcntl(self._file, fcntl.F_SETFL, flags | os.O_APPEND)  # so that it can be cut
        weakref.finalize(self, os.close, self._file)
        self._counted = self._answered = self._life_began = 0

    def fileno(self) -> int:
        """Where the process writes."""
        return self._file

    def new_life(self) -> None:
        """From here on another process writes."""
        self._life_began = self._size()

    def this_life(self) -> bytes:
        """What the process that writes now has written, as far as it is kept."""
        return self._since(self._life_began)

    def everything(self) -> bytes:
        """What is kept of all lives."""
        return self._since(0)

    def answered(self) -> int:
        """How many requests were answered in all lives: lines of uvicorn's access log."""
        new = self._since(self._counted)
        whole = new[: new.rfind(b"\n") + 1]
        self._counted += len(whole)
        self._answered += whole.count(_ANSWERED)
        return self._answered

    def shorten(self) -> None:
        """Forget what was counted once it is more than `KEPT_BYTES`.

        A line that is written in that very moment goes uncounted.
        """
        if self._counted > KEPT_BYTES and self._counted == self._size():
            os.ftruncate(self._file, 0)
            self._counted = self._life_began = 0

    def _size(self) -> int:
        return os.fstat(self._file).st_size

    def _since(self, offset: int) -> bytes:
        return os.pread(self._file, self._size() - offset, offset)
