"""Where the embedded server lives: its folder and its socket, closed to others."""

import os
import socket
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

from exporter.engines.programs import may_enter, server_user
from exporter.errors import FinetuneError
from exporter.progress import say

PORT = "5432"

# Where root keeps data that cannot lie in a closed folder, as the server runs as
# another user: no system cleans up there by age.
_STATE = Path("/var/lib/finetune")

# A socket's path has at most 107 bytes on Linux and 103 on macOS, of which
# "/.s.PGSQL.5432.lock" takes 19.
MAX_SOCKET_FOLDER = 84


def socket_beside(folder: Path) -> bool:
    """Return whether a client reaches the socket below the folder's own name."""
    return len(os.fsencode(folder / "socket")) <= MAX_SOCKET_FOLDER


def give(path: Path) -> None:
    """Make the folder the server's own: nobody else may look into it.

    A link in its place is refused, as what it names would be handed over.
    """
    path.mkdir(mode=0o700, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError as error:
        raise FinetuneError(
            f"{path}: is a link, but the server needs a folder; remove it"
        ) from error
    try:
        user = server_user()
        if user is not None:
            os.fchown(descriptor, user.pw_uid, user.pw_gid)
        os.fchmod(descriptor, 0o700)
    finally:
        os.close(descriptor)


def made_home(folder: Path) -> Path:
    """Return the real folder of the server, made if missing.

    The server's user cannot enter a project below a closed folder such as /root;
    then the folder is a link to one below `_STATE`.
    """
    try:
        if folder.is_symlink() and not folder.exists():
            there = folder.readlink()
            say(f"{folder}: its data in {there} are gone; the server starts empty")
            folder.unlink(missing_ok=True)
        # Of several commands at once, one makes it.
        with suppress(FileExistsError):
            if may_enter(folder.parent):
                folder.mkdir(exist_ok=True)
            elif not folder.exists():
                elsewhere = _made_elsewhere(folder)
                folder.symlink_to(elsewhere)
                say(f"{folder}: its data are in {elsewhere}")
        owner = folder.lstat().st_uid
        if owner != os.geteuid():
            rather = ", not as root" if os.geteuid() == 0 else ""
            raise FinetuneError(
                f"{folder}: belongs to user {owner}; run as that user{rather}"
            )
        if not folder.is_symlink():
            folder.chmod(0o711)
        return folder.resolve()
    except OSError as error:
        raise FinetuneError(
            f"{folder}: {error.strerror}; run in a folder you may write to, or set "
            "PGHOST to a server of your own"
        ) from error


def _made_elsewhere(folder: Path) -> Path:
    _STATE.mkdir(exist_ok=True)
    prefix = f"{folder.absolute().parent.name}-"
    made = Path(tempfile.mkdtemp(prefix=prefix, dir=_STATE))
    for path in (_STATE, made):
        path.chmod(0o711)
    return made


def socket_folder(home: Path) -> Path:
    """Return the folder of the socket, a short one where the home's is long."""
    folder = home / "socket"
    real = folder.resolve()
    if answers(real):
        return real
    if folder.is_symlink():
        if _is_the_servers(real):
            return real
        folder.unlink()
    if socket_beside(home):
        give(folder)
        return folder
    real = Path(tempfile.mkdtemp(prefix="finetune-", dir="/tmp"))
    give(real)
    folder.symlink_to(real)
    return real


def _is_the_servers(folder: Path) -> bool:
    """Return whether the folder has been given to the server's user before."""
    user = server_user()
    try:
        there = folder.lstat()
    except OSError:
        return False
    owner = os.geteuid() if user is None else user.pw_uid
    return there.st_uid == owner and stat.S_IMODE(there.st_mode) == 0o700


def answers(folder: Path) -> bool:
    """Return whether a server accepts connections; a pid alone proves nothing."""
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(folder / f".s.PGSQL.{PORT}"))
        except OSError:
            return False
    return True
