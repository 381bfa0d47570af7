"""A request ends in time and in bounded memory, whatever the answer."""

import gzip
import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.endpoint.conftest import MODEL, Finetune, export
from tests.endpoint.raw import Raw, head, whole
from tests.workspace import MEASURED

Start = Callable[..., subprocess.Popen[str]]
EMPTY_LIST = json.dumps({"object": "list", "data": [], "has_more": False}).encode()


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
def test_an_answer_that_comes_byte_by_byte_times_out(
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
    action = "retrieving model" if command == "train" else "listing the files"
    assert f"no answer within 0.5 s on {action}" in result.err
    assert len(endpoint.requests) == 2


def test_a_body_that_the_server_does_not_read_times_out(
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


def test_a_watch_retries_events_that_come_byte_by_byte(
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
def test_an_answer_of_gigabytes_is_refused_in_bounded_memory(
    raw: Callable[..., Raw],
    process: Start,
    answer: Callable[[str, int], Iterator[bytes]],
) -> None:
    raw(answer)
    child = process("upload", "--retries", "0", code=MEASURED)
    _, err = child.communicate(timeout=60)
    assert "finetune: " in err
    assert "listing the files is larger than 16 MB or 200,000 values" in err
    *lines, peak = err.splitlines()
    assert len(lines) == 1
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


def test_only_the_shown_parts_of_many_large_events_are_kept(
    raw: Callable[..., Raw], process: Start
) -> None:
    # Decoding lists of small values takes the most memory.
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
    assert "is not gzip" in finetune("upload", "--retries", "0").err
    raw(lambda _, __: iter([whole(b"{}", "content-encoding: br")]))
    assert "compressed by br" in finetune("upload", "--retries", "0").err


@pytest.mark.parametrize(
    "body",
    [b"[" * 100_000, b'{"data":' * 50_000, b"[]", b"5", b'"x"', b"null", b"", b"\xff"],
)
@pytest.mark.parametrize("command", ["upload", "train"])
def test_json_that_is_too_deep_or_not_an_object_is_an_invalid_answer(
    raw: Callable[..., Raw], finetune: Finetune, body: bytes, command: str
) -> None:
    raw(lambda _, __: iter([whole(body)]))
    options = ["--model", MODEL, "--yes"] if command == "train" else []
    result = finetune(command, *options, "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "is not what OpenAI's API answers" in result.err


def pages(*, repeat: bool) -> Callable[[str, int], Iterator[bytes]]:
    """Answer with page after page, each with new ids or always the same."""

    def answer(_: str, number: int) -> Iterator[bytes]:
        first = 0 if repeat else number * 1000
        data = [{"id": f"file-{first + n}", "filename": "x"} for n in range(1000)]
        body = {"object": "list", "data": data, "has_more": True}
        yield whole(json.dumps(body).encode())

    return answer


def test_a_listing_without_end_is_an_error(
    raw: Callable[..., Raw], finetune: Finetune
) -> None:
    endpoint = raw(pages(repeat=False))
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "listing the files does not end after 101,000" in result.err
    assert len(endpoint.requests) == 101


def test_a_listing_that_repeats_its_page_ends(
    raw: Callable[..., Raw], finetune: Finetune
) -> None:
    endpoint = raw(pages(repeat=True))
    finetune("upload", "--retries", "0")
    listings = [line for line in endpoint.requests if line.startswith(b"GET")]
    assert len(listings) % 2 == 0
    assert len(listings) <= 8
