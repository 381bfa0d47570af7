"""A proxy between a command and its database, with a fault after some bytes."""

import os
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from selectors import EVENT_READ, DefaultSelector

_CHUNK = 2048


class Proxy:
    """A loopback port that forwards to the server's socket.

    After `after` bytes, `act` is called once with the client's socket and the server's.
    It returns whether to go on forwarding.
    """

    def __init__(
        self,
        path: str,
        *,
        after: float = float("inf"),
        act: Callable[[socket.socket, socket.socket], bool] = lambda *_: True,
    ) -> None:
        self._path = path
        self._after, self._act = after, act
        self.passed = 0
        self.acted = False
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.variables = {
            "PGHOST": "127.0.0.1",
            "PGPORT": str(self._listener.getsockname()[1]),
            # Otherwise the first bytes would ask for encryption.
            "PGSSLMODE": "disable",
            "PGGSSENCMODE": "disable",
        }

    def __enter__(self) -> "Proxy":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        server = socket.socket(socket.AF_UNIX)
        with client, server, suppress(OSError):
            server.connect(self._path)
            other = {client: server, server: client}
            with DefaultSelector() as selector:
                for end in other:
                    selector.register(end, EVENT_READ)
                while True:
                    for key, _ in selector.select():
                        source = key.fileobj
                        assert isinstance(source, socket.socket)
                        data = source.recv(_CHUNK)
                        if not data or not self._may_pass(client, server, len(data)):
                            return
                        other[source].sendall(data)

    def _may_pass(self, client: socket.socket, server: socket.socket, n: int) -> bool:
        with self._lock:
            self.passed += n
            due = self.passed >= self._after and not self.acted
            self.acted = self.acted or due
        return self._act(client, server) if due else True


def cut(*_: socket.socket) -> bool:
    """Close both connections, as when the server ends."""
    return False


def reset(client: socket.socket, _: socket.socket) -> bool:
    """Reset the client's connection, as a firewall does."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def stalls(pid: Callable[[], int], number: int) -> Callable[..., bool]:
    """Return a function that forwards nothing until the client gets a signal.

    If the client has sent its last byte, it may end before that.
    """

    def stall(client: socket.socket, _: socket.socket) -> bool:
        timer = threading.Timer(0.3, _signal, (pid(), number))
        timer.start()
        with suppress(OSError):
            while client.recv(_CHUNK):
                pass
        timer.cancel()
        return False

    return stall


def _signal(pid: int, number: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, number)
