"""The folder of the embedded server and its socket, closed to other users."""

import os
import re
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from exporter.engines.programs import can_enter, server_user
from exporter.errors import FinetuneError
from exporter.progress import say

PORT = "5432"

# Root's data, if the server's user cannot enter the project folder. No system deletes
# old files there.
_STATE = Path("/var/lib/finetune")

# The path of a socket has at most 107 bytes on Linux and 103 on macOS;
# "/.s.PGSQL.5432.lock" takes 19 of them.
MAX_SOCKET_FOLDER = 84


def socket_path_fits(folder: Path) -> bool:
    """Return whether libpq can connect to a socket in the server's folder.

    Its path must be short, and libpq takes a comma for the end of a host's name.
    """
    path = os.fsencode(folder / "socket")
    return len(path) <= MAX_SOCKET_FOLDER and b"," not in path


def make_private(path: Path) -> None:
    """Make a folder that only the server's user can enter, and give it to that user.

    A link is refused, because its target would be given away.
    """
    try:
        path.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except (FileExistsError, NotADirectoryError) as error:
        raise FinetuneError(
            f"{path}: is no folder, but the server needs one; remove it"
        ) from error
    try:
        user = server_user()
        if user is not None:
            os.fchown(descriptor, user.pw_uid, user.pw_gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def make_home(folder: Path) -> Path:
    """Return the real path of the server's folder; make it if it is missing.

    If the server's user cannot enter the project, for example below /root, the folder
    is a link to one below `_STATE`.
    """
    path = os.fsencode(folder).decode(errors="replace")
    if {"\n", "\r", "\N{REPLACEMENT CHARACTER}"} & {*path}:
        raise FinetuneError(
            f"{folder}: PostgreSQL cannot use a path with a line break or bytes that "
            "are no UTF-8; rename the folder"
        )
    try:
        if folder.is_symlink() and not folder.exists():
            target = folder.readlink()
            say(f"{folder}: its data in {target} are gone; the server starts empty")
            folder.unlink(missing_ok=True)
        # Another command may make it at the same time.
        with suppress(FileExistsError):
            if can_enter(folder.parent):
                folder.mkdir(exist_ok=True)
            elif not folder.exists():
                target = _make_state_folder(folder)
                folder.symlink_to(target)
                say(f"{folder}: its data are in {target}")
        require_owner(folder)
        if not folder.is_symlink():
            folder.chmod(0o711)
        return folder.resolve()
    except OSError as error:
        raise FinetuneError(
            f"{folder}: {error.strerror}; run in a folder you may write to, or set "
            "PGHOST to a server of your own"
        ) from error


def require_owner(folder: Path) -> None:
    """Refuse the server's folder of another user, which root would give away."""
    owner = folder.lstat().st_uid
    if owner != os.geteuid():
        instead = ", not as root" if os.geteuid() == 0 else ""
        raise FinetuneError(
            f"{folder}: belongs to user {owner}; run as that user{instead}"
        )


def _make_state_folder(folder: Path) -> Path:
    _STATE.mkdir(exist_ok=True)
    # The name only helps people; PostgreSQL's programs pass the path to a shell.
    prefix = f"{re.sub(r'[^a-zA-Z0-9_.-]', '_', folder.absolute().parent.name)[:40]}-"
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=_STATE))
    for path in (_STATE, made):
        path.chmod(0o711)
    return made


def socket_folder(home: Path) -> Path:
    """Return the folder of the socket; make it, elsewhere if the path is too long."""
    folder = home / "socket"
    real = folder.resolve()
    if is_listening(real):
        return real
    if folder.is_symlink():
        if _is_private(real):
            return real
        folder.unlink()
    if socket_path_fits(home):
        make_private(folder)
        return folder
    real = Path(tempfile.mkdtemp(prefix="finetune-", dir="/tmp"))
    make_private(real)
    folder.symlink_to(real)
    return real


def _is_private(folder: Path) -> bool:
    """Return whether only the server's user can enter the folder."""
    user = server_user()
    try:
        found = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user.pw_uid
    return found.st_uid == owner and stat.S_IMODE(found.st_mode) == 0o700


def is_listening(folder: Path) -> bool:
    """Return whether a server accepts connections; a pid file is not enough."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(folder / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True
