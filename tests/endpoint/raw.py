"""A server that answers with whatever bytes a test gives it."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress


class Raw:
    """A server that reads a request and then writes whatever a test gives it."""

    def __init__(self, answer: Callable[[str, int], Iterator[bytes]]) -> None:
        self.requests: list[bytes] = []
        self._answer = answer
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.origin = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                threading.Thread(
                    target=self._answer_one, args=(connection,), daemon=True
                ).start()

    def _answer_one(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                if not (piece := connection.recv(1 << 16)):
                    return
                head += piece
            self.requests.append(head)
            line = head.split(b"\r\n")[0].decode()
            for piece in self._answer(line, len(self.requests)):
                connection.sendall(piece)


def head(length: int | None, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    lines += [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(body: bytes, *headers: str) -> bytes:
    return head(len(body), "connection: close", *headers) + body
