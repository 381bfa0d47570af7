"""The exception that the user can act on, and errors of an exhausted machine."""

import errno

# Disk, memory or a limit is exhausted; any other OSError is a bug.
_EXHAUSTED = {
    *(errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.ENOSPC, errno.EROFS),
}


class FinetuneError(Exception):
    """The data, the file or the remote side said no.

    Its text is one line that says what, where and how to fix it. The command
    line prints it to stderr and exits with 1; any other exception is a bug and
    shows its traceback.
    """


def exhausted(error: Exception) -> str | None:
    """Return what the machine has run out of, or None for any other error."""
    if isinstance(error, MemoryError):
        what = "no memory is left"
    elif isinstance(error, OSError) and error.errno in _EXHAUSTED:
        where = f"{error.filename}: " if error.filename else ""
        what = f"{where}{error.strerror}"
    elif isinstance(error, RuntimeError) and str(error).startswith("can't start new"):
        what = "no thread can be started"
    else:
        return None
    return f"{what}; free some or raise the limit, then run it again"
