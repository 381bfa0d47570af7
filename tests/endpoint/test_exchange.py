"""An exchange ends in time, in bounded memory, and stays at its origin."""

import gzip
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.endpoint.conftest import KEY, MODEL, Finetune, export
from tests.endpoint.server import Server
from tests.workspace import MEASURED

Start = Callable[..., subprocess.Popen[str]]
EMPTY_LIST = json.dumps({"object": "list", "data": [], "has_more": False}).encode()


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
                    target=self._talk, args=(connection,), daemon=True
                ).start()

    def _talk(self, connection: socket.socket) -> None:
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


@pytest.fixture
def raw(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Raw]]:
    """Make the environment name a server that answers as it is told."""
    assert server.url
    made = []

    def make(answer: Callable[[str, int], Iterator[bytes]]) -> Raw:
        made.append(Raw(answer))
        monkeypatch.setenv("OPENAI_BASE_URL", f"{made[-1].origin}/v1")
        return made[-1]

    yield make
    for one in made:
        one.close()


def head(length: int | None, *headers: str, status: str = "200 OK") -> bytes:
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", *headers]
    lines += [] if length is None else [f"content-length: {length}"]
    return "\r\n".join([*lines, "", ""]).encode()


def whole(body: bytes, *headers: str) -> bytes:
    return head(len(body), "connection: close", *headers) + body


def dribble(data: bytes) -> Iterator[bytes]:
    for place in range(len(data)):
        yield data[place : place + 1]
        time.sleep(0.1)


def slow_head(_: str, __: int) -> Iterator[bytes]:
    yield b"HTTP/1.1 200 OK\r\n"
    yield from dribble(b"x-long: " + b"x" * 10_000)


def slow_hints(_: str, __: int) -> Iterator[bytes]:
    for _hint in range(1000):
        yield b"HTTP/1.1 103 Early Hints\r\n\r\n"
        time.sleep(0.1)


def slow_body(_: str, __: int) -> Iterator[bytes]:
    yield head(100_000)
    yield from dribble(b" " * 10_000)


def slow_chunks(_: str, __: int) -> Iterator[bytes]:
    yield head(None, "transfer-encoding: chunked")
    for _chunk in range(1000):
        yield b"1\r\n \r\n"
        time.sleep(0.1)


@pytest.mark.parametrize("answer", [slow_head, slow_hints, slow_body, slow_chunks])
@pytest.mark.parametrize("command", ["upload", "train"])
def test_an_answer_that_comes_byte_by_byte_is_not_waited_for(
    raw: Callable[..., Raw],
    finetune: Finetune,
    answer: Callable[[str, int], Iterator[bytes]],
    command: str,
) -> None:
    endpoint = raw(answer)
    options = ["--model", MODEL, "--yes"] if command == "train" else []
    start = time.monotonic()
    result = finetune(command, *options, "--timeout", "0.5", "--retries", "1")
    assert time.monotonic() - start < 10  # It would take minutes.
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1), result.err
    assert "no answer within 0.5 s on l" in result.err
    assert len(endpoint.requests) == 2


def test_a_body_that_nobody_reads_is_not_sent_for_ever(
    raw: Callable[..., Raw], finetune: Finetune, folder: Path
) -> None:
    export(folder, [f"title {n}" for n in range(30)], [], text="x" * (1 << 20))

    def answer(line: str, _: int) -> Iterator[bytes]:
        if line.startswith("GET"):
            yield whole(EMPTY_LIST)
        else:
            time.sleep(30)

    raw(answer)
    result = finetune("upload", "--timeout", "0.5", "--retries", "0")
    assert (result.code, result.out) == (1, "")
    assert "no answer within 0.5 s on sending train.jsonl" in result.err


def test_events_that_come_byte_by_byte_are_tried_again(
    raw: Callable[..., Raw], process: Start
) -> None:
    tried = threading.Event()

    def answer(line: str, _: int) -> Iterator[bytes]:
        if "/events" in line:
            yield from slow_body(line, 0)
            tried.set()
        else:
            yield whole(b'{"id": "ftjob-1", "status": "running"}')

    raw(answer)
    child = process(
        "watch", "ftjob-1", "--timeout", "0.5", "--retries", "0", "--interval", "0.1"
    )
    assert child.stderr is not None
    assert "no answer within 0.5 s on listing the events" in child.stderr.readline()
    child.kill()


def endless(start: bytes, *headers: str) -> Callable[[str, int], Iterator[bytes]]:
    def answer(_: str, __: int) -> Iterator[bytes]:
        yield head(3 << 30, *headers) + start
        while True:
            yield b" " * (1 << 20)

    return answer


def bomb(_: str, __: int) -> Iterator[bytes]:
    content = gzip.compress(bytes(200 << 20), compresslevel=9)
    yield whole(content, "content-encoding: gzip")


def many(_: str, __: int) -> Iterator[bytes]:
    yield whole(b'{"data":[' + b"{}," * 5_000_000 + b"{}]}")


@pytest.mark.parametrize(
    "answer", [endless(b"{"), bomb, many], ids=["endless", "bomb", "many"]
)
def test_an_answer_of_gigabytes_ends_in_level_memory(
    raw: Callable[..., Raw],
    process: Start,
    answer: Callable[[str, int], Iterator[bytes]],
) -> None:
    raw(answer)
    child = process("upload", "--retries", "0", code=MEASURED)
    _, err = child.communicate(timeout=60)
    assert "finetune: " in err
    assert "listing the files is larger than 16 MB or 200,000 values" in err
    *said, peak = err.splitlines()
    assert len(said) == 1
    assert int(peak) >> 10 < 250


@pytest.mark.parametrize(
    ("answer", "refused"),
    [
        (EMPTY_LIST.rjust(16 << 20), False),
        (EMPTY_LIST.rjust((16 << 20) + 1), True),
        (b'{"data":[%b]}' % b",".join([b"1"] * 199_999), False),
        (b'{"data":[%b]}' % b",".join([b"1"] * 200_000), True),
    ],
)
@pytest.mark.parametrize("zipped", [False, True])
def test_an_answer_is_read_up_to_its_limits(
    raw: Callable[..., Raw],
    finetune: Finetune,
    answer: bytes,
    refused: bool,
    zipped: bool,
) -> None:
    coding = ["content-encoding: gzip"] if zipped else []
    sent = gzip.compress(answer, compresslevel=1) if zipped else answer
    raw(lambda _, __: iter([whole(sent, *coding)]))
    result = finetune("upload", "--retries", "0")
    assert ("larger than 16 MB or 200,000 values" in result.err) == refused


def test_of_many_large_events_only_what_is_shown_is_kept(
    raw: Callable[..., Raw], process: Start
) -> None:
    # Lists of small values take most memory when they are read.
    more = {"id": "ftjob-1", "status": "succeeded", "data": {"x": [{}] * 500}}

    def answer(line: str, number: int) -> Iterator[bytes]:
        events = [{**more, "id": f"ftevent-{number}-{n}"} for n in range(100)]
        page = {"object": "list", "data": events, "has_more": number < 40}
        yield whole(json.dumps(page if "/events" in line else more).encode())

    raw(answer)
    child = process("watch", "ftjob-1", "--retries", "0", code=MEASURED)
    _, err = child.communicate(timeout=60)
    assert err.count("ftjob-1 is succeeded") == 1
    assert int(err.splitlines()[-1]) >> 10 < 130


def test_a_gzipped_answer_is_read_and_another_coding_refused(
    raw: Callable[..., Raw], finetune: Finetune
) -> None:
    raw(lambda _, __: iter([whole(gzip.compress(b"{}"), "content-encoding: gzip")]))
    assert (
        "is not what OpenAI's API answers" in finetune("upload", "--retries", "0").err
    )
    raw(lambda _, __: iter([whole(b"{}", "content-encoding: gzip")]))
    assert "is no gzip" in finetune("upload", "--retries", "0").err
    raw(lambda _, __: iter([whole(b"{}", "content-encoding: br")]))
    assert "compressed by br" in finetune("upload", "--retries", "0").err


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"data":' * 50_000, b"[]", b"5", b'"x"', b"null", b"", b"\xff"],
)
@pytest.mark.parametrize("command", ["upload", "train"])
def test_json_that_is_too_deep_or_no_object_makes_no_sense(
    raw: Callable[..., Raw], finetune: Finetune, body: bytes, command: str
) -> None:
    raw(lambda _, __: iter([whole(body)]))
    options = ["--model", MODEL, "--yes"] if command == "train" else []
    result = finetune(command, *options, "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "is not what OpenAI's API answers" in result.err


def pages(*, repeat: bool) -> Callable[[str, int], Iterator[bytes]]:
    """Answer with a page after another, each with new ids or always the same."""

    def answer(_: str, number: int) -> Iterator[bytes]:
        first = 0 if repeat else number * 1000
        data = [{"id": f"file-{first + n}", "filename": "x"} for n in range(1000)]
        body = {"object": "list", "data": data, "has_more": True}
        yield whole(json.dumps(body).encode())

    return answer


def test_pages_without_end_are_given_up(
    raw: Callable[..., Raw], finetune: Finetune
) -> None:
    endpoint = raw(pages(repeat=False))
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "listing the files does not end after 101,000" in result.err
    assert len(endpoint.requests) == 101


def test_a_page_that_is_always_the_same_is_read_twice(
    raw: Callable[..., Raw], finetune: Finetune
) -> None:
    endpoint = raw(pages(repeat=True))
    finetune("upload", "--retries", "0")
    listings = [line for line in endpoint.requests if line.startswith(b"GET")]
    assert len(listings) % 2 == 0
    assert len(listings) <= 8


@pytest.fixture
def thief() -> Iterator[Raw]:
    """Another origin, which must never hear of us."""
    one = Raw(lambda _, __: iter([whole(b'{"id": "file-stolen"}')]))
    yield one
    assert one.requests == []
    one.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("command", "route"),
    [
        (["upload"], "GET /files"),
        (["upload"], "POST /files"),
        (["upload", "--parts-above", "0"], "POST /uploads"),
        (["upload", "--parts-above", "0"], "POST /uploads/{upload_id}/parts"),
        (["upload", "--parts-above", "0"], "POST /uploads/{upload_id}/complete"),
        (["train", "--model", MODEL, "--yes"], "POST /fine_tuning/jobs"),
        (["watch", "ftjob-1"], "GET /fine_tuning/jobs/{fine_tuning_job_id}"),
    ],
)
def test_no_redirect_to_another_origin_is_followed(
    server: Server,
    finetune: Finetune,
    thief: Raw,
    command: list[str],
    route: str,
    status: int,
) -> None:
    if command[0] == "train":
        finetune("upload")
    server.redirect(route, status, f"{thief.origin}/v1/x")
    result = finetune(*command, "--retries", "2")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("finetune: ") == 1
    assert f"redirects to {thief.origin}, where nothing was sent" in result.err
    assert KEY not in result.err
    assert server.requests.count(route) == 1
    assert server.open_uploads() == []


@pytest.mark.parametrize(
    "address", ["//localhost:{port}/x", "https://127.0.0.1:{port}/x", "ftp://a/x"]
)
def test_another_host_scheme_or_port_is_another_origin(
    server: Server, finetune: Finetune, address: str
) -> None:
    port = server.url.split(":")[2].split("/")[0]
    server.redirect("POST /files", 307, address.format(port=port))
    result = finetune("upload", "--retries", "1")
    assert (result.code, server.files) == (1, {})
    assert "where nothing was sent; put the right address into" in result.err
    assert server.requests.count("POST /files") == 1


def test_a_redirect_within_the_origin_is_followed_with_the_whole_body(
    server: Server, finetune: Finetune
) -> None:
    server.redirect("POST /files", 307, "/v1/files?again=1", times=1)
    server.redirect("GET /files", 302, f"{server.url}/files?again=1", times=1)
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 2
    server.exchanges.clear()  # The query is not in OpenAI's description.


def test_a_chain_of_redirects_that_leaves_the_origin_is_not_followed_out(
    server: Server, finetune: Finetune, thief: Raw
) -> None:
    server.redirect("POST /files", 308, "/v1/files?again=1", times=1)
    server.redirect("POST /files", 307, f"{thief.origin}/v1/files")
    result = finetune("upload", "--retries", "0")
    assert (result.code, server.files) == (1, {})
    assert f"redirects to {thief.origin}" in result.err


def test_redirects_in_a_circle_come_to_an_end(
    server: Server, finetune: Finetune
) -> None:
    server.redirect("GET /files", 307, "/v1/files")
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "too many redirects" in result.err
    assert len(server.requests) == 10
