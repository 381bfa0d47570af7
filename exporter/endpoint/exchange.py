"""One request and its answer: in time, of bounded size, at one origin."""

import socket
import threading
import time
import zlib
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import httpx2

from exporter.errors import FinetuneError, exhausted

# The part that knows httpx2 names it for the others.
InvalidURL = httpx2.InvalidURL

# Listings of a thousand files or of a hundred jobs take less than one.
ANSWER_MEGABYTES = 16
ANSWER_VALUES = 200_000
_ANSWER_BYTES = ANSWER_MEGABYTES << 20
_HOPS = 10


class TooLargeError(Exception):
    """An answer is larger than any that is expected."""


class GuardedClient(httpx2.Client):
    """A client whose `send` ends, in bounded memory, and stays at one origin.

    Each piece of a body must go within the timeout, and the whole answer come
    within it. The work is done by a thread of its own, as neither a look-up of a
    name nor an answer of a byte a second can be ended otherwise.
    """

    def __init__(self) -> None:
        """Read the variables of proxies and certificates; send nothing.

        Raises:
            FinetuneError: One of them cannot be used; what is in it is not shown.
        """
        # A connection serves one exchange, so that it can be cut with it.
        limits = httpx2.Limits(max_keepalive_connections=0)
        try:
            super().__init__(limits=limits)
        except ImportError as error:
            raise FinetuneError(
                "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY speaks SOCKS; "
                "pip install socksio, or unset it"
            ) from error
        except (InvalidURL, ValueError):
            # Not from it, as it holds the password of the proxy.
            raise FinetuneError(
                "ALL_PROXY, HTTPS_PROXY or HTTP_PROXY is not an address such as "
                "http://HOST:PORT; fix or unset it"
            ) from None
        except OSError as error:
            if exhausted(error):
                raise
            raise FinetuneError(
                f"SSL_CERT_FILE or SSL_CERT_DIR: {error.strerror}; fix or unset it"
            ) from error
        self.headers["accept-encoding"] = "gzip"

    def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:  # noqa: ANN401
        """Return the whole answer; a redirect to another origin is not followed.

        Raises:
            httpx2.TransportError: There is none, or not in time.
            TooLargeError: It is too large.
        """
        exchange = _Exchange(request)
        options |= {"stream": True, "follow_redirects": False}
        send = super().send

        def work() -> None:
            try:
                exchange.answer = _read(follow(), exchange)
            except BaseException as error:
                exchange.error = error
            exchange.done.set()

        def follow() -> httpx2.Response:
            following = request
            for _ in range(_HOPS):
                response = send(exchange.watched(following), **options)
                further = response.next_request
                if not further or origin(further.url) != origin(request.url):
                    return response
                response.close()
                following = further
            raise httpx2.TooManyRedirects("too many redirects")

        threading.Thread(target=work, daemon=True).start()
        return exchange.awaited()


class _Exchange:
    """The state that the sending and the waiting thread share."""

    def __init__(self, request: httpx2.Request) -> None:
        self.done = threading.Event()
        self.answer: httpx2.Response | None = None
        self.error: BaseException | None = None
        self._request = request
        self._seconds: float = request.extensions["timeout"]["read"]
        self._deadline = time.monotonic() + self._seconds
        self._streams: list[Any] = []
        self._over = False

    def watched(self, request: httpx2.Request) -> httpx2.Request:
        """Return the request, whose connection and progress are seen from now on."""
        request.extensions = {**request.extensions, "trace": self._traced}
        if isinstance(request.stream, httpx2.SyncByteStream):
            request.stream = _Pieces(request.stream, self)
        return request

    def moved(self) -> None:
        """Start the time of the next piece, unless nobody waits any more."""
        self.go_on()
        self._deadline = time.monotonic() + self._seconds

    def go_on(self) -> None:
        if self._over:
            raise httpx2.ReadTimeout("nobody waits for it", request=self._request)

    def _traced(self, event: str, info: dict[str, Any]) -> None:
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._streams.append(info["return_value"])
        self.go_on()

    def awaited(self) -> httpx2.Response:
        """Return the answer, or cut the connection when its time is over."""
        try:
            while not self.done.wait(max(self._deadline - time.monotonic(), 0)):
                if time.monotonic() >= self._deadline:
                    raise httpx2.ReadTimeout("too slow", request=self._request)
        finally:
            self._over = True
            if not self.done.is_set():
                self._cut()
        if self.error is not None:
            raise self.error
        assert self.answer is not None  # noqa: S101 (one of the two is there)
        return self.answer

    def _cut(self) -> None:
        for stream in self._streams:
            with suppress(OSError):
                stream.get_extra_info("socket").shutdown(socket.SHUT_RDWR)


class _Pieces(httpx2.SyncByteStream):
    """A body that reports each piece that was sent."""

    def __init__(self, body: httpx2.SyncByteStream, exchange: _Exchange) -> None:
        self._body = body
        self._exchange = exchange

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._exchange.moved()
            yield piece
        self._exchange.moved()


def origin(url: httpx2.URL) -> str:
    """Return scheme, host and port, as they may be shown."""
    return str(httpx2.URL(scheme=url.scheme, host=url.host, port=url.port))


def _read(response: httpx2.Response, exchange: _Exchange) -> httpx2.Response:
    """Return the answer with its content, decompressed."""
    chunks, size = [], 0
    with closing(response):
        for chunk in response.iter_raw():
            exchange.go_on()
            chunks.append(chunk)
            size += len(chunk)
            _refuse_size(size)
    content = b"".join(chunks)
    coding = response.headers.get("content-encoding", "identity").lower()
    if coding == "gzip":
        content = _unzipped(content)
    elif coding != "identity":
        raise httpx2.DecodingError(f"the answer is compressed by {coding}")
    # Each becomes an object, which takes far more memory than its text.
    if sum(content.count(sign) for sign in b",[{") > ANSWER_VALUES:
        raise TooLargeError
    headers = response.headers.copy()
    for name in ("content-encoding", "content-length", "transfer-encoding"):
        headers.pop(name, None)
    whole = httpx2.Response(
        response.status_code, headers=headers, content=content, request=response.request
    )
    whole.next_request = response.next_request
    return whole


def _unzipped(content: bytes) -> bytes:
    with suppress(zlib.error):
        found = zlib.decompressobj(31).decompress(content, _ANSWER_BYTES + 1)
        _refuse_size(len(found))
        return found
    raise httpx2.DecodingError("the answer is no gzip")


def _refuse_size(size: int) -> None:
    if size > _ANSWER_BYTES:
        raise TooLargeError
