"""The HTTP side of the test endpoint: it reads requests, injects faults and answers."""

import hashlib
import http.server
import json
import re
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

if TYPE_CHECKING:
    from tests.endpoint.server import Server

Answer = tuple[int, dict[str, Any]]

# Larger bodies are counted, not kept.
_KEPT_BYTES = 16 << 20
_EDGE = 64 << 10


class Fault(NamedTuple):
    """A fault that is injected into the requests of a route, and how often.

    The kinds: a status; "drop" before the body is read, "drop mid body"; "lost" (the
    request is carried out, but the connection ends), "slow" (carried out, but never
    answered); "not json", "html", "no id", "wrong type", "done 500" (carried out, with
    such an answer); "hold before", "hold after" (wait until the client is gone, before
    or after carrying it out); "none" (no fault this time).
    """

    route: str
    kind: str | int
    times: int = 1000
    message: str = "why"
    headers: tuple[tuple[str, str], ...] = (("retry-after-ms", "1"),)


class Exchange(NamedTuple):
    """A request and its answer."""

    route: str
    query: dict[str, str]
    body: dict[str, Any] | None
    status: int
    answer: dict[str, Any]


def error(status: int, message: str) -> Answer:
    return status, {"error": {"message": message, "type": "", "code": None}}


class Handler(http.server.BaseHTTPRequestHandler):
    endpoint: "Server"
    protocol_version = "HTTP/1.1"
    # Otherwise each answer waits 40 ms for the client's acknowledgement.
    disable_nagle_algorithm = True
    timeout = 20

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Log nothing."""

    def do_GET(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def _serve(self) -> None:  # noqa: PLR0911 (a fault an exit)
        server = self.endpoint
        parts = urlsplit(self.path)
        # The path is a whole URL if the client uses this server as a proxy.
        path = parts.path.partition("/v1")[2]
        query = dict(parse_qsl(parts.query))
        route = f"{self.command} {_pattern(path)}"
        fault = server.take_fault(route)
        kind = fault.kind if fault else None
        if kind == "drop":
            return self._drop()
        if kind == "drop mid body":
            self.rfile.read(min(1000, int(self.headers.get("content-length", 0))))
            return self._drop()
        if kind == 413:
            # Such servers do not read a body that they refuse.
            self.close_connection = True
            return self._answer(*error(413, "Payload Too Large"), ())
        body = self._body()
        if kind == "hold before":
            return self._hold()
        if self.headers.get("authorization") != f"Bearer {server.wanted_key}":
            key = self.headers.get("authorization", "")[7:]
            return self._answer(*error(401, f"Incorrect API key: {key}"), ())
        if isinstance(kind, int) and fault:
            return self._answer(*error(kind, fault.message), fault.headers)
        status, answer = server.act(self.command, path, query, body)
        shown = {k: v for k, v in body.items() if k not in ("file_name", "hash")}
        # A copy, because the object changes later.
        server.exchanges.append(
            Exchange(
                route, query, shown or None, status, json.loads(json.dumps(answer))
            )
        )
        if kind in ("hold after", "slow"):
            return self._hold()
        if kind == "lost":
            return self._drop()
        if kind == "done 500":
            return self._answer(*error(500, "why"), fault.headers if fault else ())
        if kind in ("no id", "wrong type"):
            answer = {} if kind == "no id" else {"id": 5, "data": "none"}
        raw = {"html": b"<html>Welcome</html>", "not json": b'{"id": '}.get(str(kind))
        return self._answer(
            status, answer, (), raw=raw, html="html" if kind == "html" else ""
        )

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("content-length", 0))
        if not length:
            return {}
        kind = self.headers.get("content-type", "")
        tail = b""
        chunks: list[bytes] = []
        left = length
        while left:
            chunk = self.rfile.read(min(left, 1 << 20))
            if not chunk and self.endpoint.accepts_torn:
                return self._torn(b"".join(chunks))
            if not chunk:
                raise ConnectionError
            if during_body := self.endpoint.during_body:
                self.endpoint.during_body = None
                during_body()
            left -= len(chunk)
            if length <= _KEPT_BYTES:
                chunks.append(chunk)
            else:
                chunks = chunks or [chunk[:_EDGE]]
                tail = (tail + chunk)[-_EDGE:]
        head = b"".join(chunks)
        if kind.startswith("multipart/form-data"):
            return _form(kind.split("boundary=")[1].encode(), head, tail, length)
        value: dict[str, Any] = json.loads(head)
        return value

    def _torn(self, head: bytes) -> dict[str, Any]:
        [name] = re.findall(rb'filename="([^"]+)"', head[:1000])
        self.endpoint.add_file(name.decode(), len(head))
        raise ConnectionError

    def _hold(self) -> None:
        """Wait until the client is gone, without an answer."""
        self.endpoint.reached.set()
        self.connection.settimeout(20)
        try:
            self.connection.recv(1)
        except TimeoutError:
            self.endpoint.held_too_long = True
        except OSError:
            pass
        self.close_connection = True

    def _drop(self) -> None:
        self.close_connection = True
        with suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)

    def _answer(
        self,
        status: int,
        answer: dict[str, Any],
        headers: tuple[tuple[str, str], ...],
        raw: bytes | None = None,
        html: str = "",
    ) -> None:
        content = json.dumps(answer).encode() if raw is None else raw
        self.send_response(status)
        self.send_header("content-type", "text/html" if html else "application/json")
        self.send_header("content-length", str(len(content)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _pattern(path: str) -> str:
    """Return the path as the OpenAPI description has it."""
    for pattern, name in (
        (r"(/files/)[^/]+", "{file_id}"),
        (r"(/uploads/)[^/]+", "{upload_id}"),
        (r"(/jobs/)[^/]+", "{fine_tuning_job_id}"),
        (r"(/models/).+", "{model}"),
    ):
        path = re.sub(pattern, rf"\1{name}", path)
    return path


def _form(boundary: bytes, head: bytes, tail: bytes, length: int) -> dict[str, Any]:
    """Return the fields of a form; of a large one, the size of its file."""
    fields: dict[str, Any] = {}
    if tail:
        cut = tail.rindex(b"\r\n--" + boundary + b"--")
        beyond = len(tail) - cut
        pieces = head.split(b"--" + boundary)
    else:
        beyond = 0
        pieces = head.split(b"--" + boundary)[:-1]
    for piece in pieces[1:]:
        lines, _, content = piece.partition(b"\r\n\r\n")
        text = lines.decode()
        [name] = re.findall(r' name="([^"]+)"', text)
        filename = re.findall(r'filename="([^"]+)"', text)
        if not filename:
            fields[name] = content.removesuffix(b"\r\n").decode()
            continue
        data = content.removesuffix(b"\r\n") if not tail else b""
        size = length - head.index(content) - beyond if tail else len(data)
        fields |= {
            name: data,
            f"{name}_bytes": size,
            f"{name}_name": filename[0],
            "hash": hashlib.sha256(data).hexdigest(),
        }
    return fields
