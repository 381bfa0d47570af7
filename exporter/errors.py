"""The exception for errors that the user can fix, and those of a full machine."""

import errno

# The disk is full or fails, or a limit is reached; any other OSError is a bug.
_EXHAUSTED = {
    *(errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE),
    *(errno.ENOMEM, errno.ENOSPC, errno.EROFS),
}


# Errors of writing alone: the reader of a pipe is gone, or the disk is full.
_OF_WRITING = {errno.EPIPE, errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class FinetuneError(Exception):
    """An error of the data, a file or a server, which the user can fix.

    Its text is one line: what is wrong, where, and how to fix it. The command line
    prints it to stderr and exits with 1. Any other exception is a bug and shows its
    traceback.
    """


def is_of_writing(error: OSError) -> bool:
    """Return whether something cannot be written, such as standard output."""
    return error.errno in _OF_WRITING


def exhausted(error: Exception) -> str | None:
    """Return a message if the machine ran out of something, None for other errors."""
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
