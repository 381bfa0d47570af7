"""The one exception that the user can act on."""


class FinetuneError(Exception):
    """The data, the file or the remote side said no.

    Its text is one line that says what, where and how to fix it. The command
    line prints it to stderr and exits with 1; any other exception is a bug and
    shows its traceback.
    """
