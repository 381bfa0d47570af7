"""A loopback proxy before the server that cuts, resets or stalls a connection."""

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

# SO_LINGER with no time: close sends a reset.
_AT_ONCE = struct.pack("ii", 1, 0)


@dataclass
class Proxy:
    """Forwards all bytes until the fault.

    The fault ("cut", "reset", "stall", or "hold" until `go` is set) happens after
    `after` bytes from the server, or when the client sends `word`. With `for_all`, new
    connections are not served after it.
    """

    target: str
    fault: str
    after: int | None = None
    word: bytes | None = None
    for_all: bool = True
    struck: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)
    _open: list[socket.socket] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self._open.append(client)
                if self.fault == "mute" or (self.struck.is_set() and self.for_all):
                    if self.fault in {"cut", "reset"}:
                        client.close()
                    continue
                server = socket.socket(socket.AF_UNIX)
                server.connect(self.target)
                self._open.append(server)
                for pump in (self._answers, self._questions):
                    threading.Thread(
                        target=pump, args=(client, server), daemon=True
                    ).start()

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        left = self.after
        with suppress(OSError):
            while data := server.recv(1 << 16):
                if left is not None and not self.struck.is_set():
                    left -= len(data)
                    if left < 0:
                        self._strike(client, server)
                    if left < 0 and self.fault != "hold":
                        return
                client.sendall(data)
        _end(client)

    def _questions(self, client: socket.socket, server: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(1 << 16):
                if self.word and self.word in data and not self.struck.is_set():
                    self._strike(client, server)
                    if self.fault != "hold":
                        return
                server.sendall(data)
        for end in (client, server):
            _end(end)

    def _strike(self, client: socket.socket, server: socket.socket) -> None:
        self.struck.set()
        if self.fault == "hold":
            self.go.wait(60)
            return
        if self.fault == "stall":
            return  # Both ends stay open, and neither is read.
        if self.fault == "reset":
            # Shut down only reading: a reset must not follow an orderly close.
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
            client.shutdown(socket.SHUT_RD)
            client.close()
        for end in (client, server):
            _end(end)

    def close(self) -> None:
        self.go.set()
        for each in (self._listener, *self._open):
            _end(each)


def _end(end: socket.socket) -> None:
    # Shut down first: close alone does not wake a thread that reads.
    with suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()


@contextmanager
def proxy(variables: dict[str, str], fault: str, **when: object) -> Iterator[Proxy]:
    """Yield a proxy before the server of these variables, which has a socket."""
    target = f"{variables['PGHOST']}/.s.PGSQL.{variables['PGPORT']}"
    made = Proxy(target, fault, **when)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()
