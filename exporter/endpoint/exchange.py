"""HTTP requests that end in time, in bounded memory, and stay at one origin."""

import socket
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import closing, suppress
from functools import partial
from typing import Any, cast

import httpx2

from exporter.errors import FinetuneError, exhausted

# Listings of a thousand files or of a hundred jobs are smaller than 1 MB.
ANSWER_MEGABYTES = 16
ANSWER_VALUES = 200_000
_ANSWER_BYTES = ANSWER_MEGABYTES << 20
_MAX_REDIRECTS = 10


class TooLargeError(Exception):
    """An answer is larger than any expected one."""


class GuardedClient(httpx2.Client):
    """A client whose `send` ends in time, in bounded memory, and stays at one origin.

    The timeout is for each piece of the body that is sent, and for the whole answer. A
    thread sends each request, because nothing else can end a DNS lookup or an answer of
    a byte a second.
    """

    def __init__(self) -> None:
        """Read the variables of proxies and certificates; send nothing.

        Raises:
            FinetuneError: One of them cannot be used; its value is not shown.
        """
        # One connection for each exchange, so that it can be closed with it.
        limits = httpx2.Limits(max_keepalive_connections=0)
        try:
            super().__init__(limits=limits)
        except ImportError as error:
            raise FinetuneError(
                "the proxy in ALL_PROXY, HTTPS_PROXY or HTTP_PROXY speaks SOCKS; "
                "pip install socksio, or unset it"
            ) from error
        except (httpx2.InvalidURL, ValueError):
            # Without the cause, which contains the password of the proxy.
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
            httpx2.TransportError: There is no answer, or not in time.
            TooLargeError: The answer is too large.
        """
        options |= {"stream": True, "follow_redirects": False}
        exchange = _Exchange(request, partial(super().send, **options))
        threading.Thread(target=exchange.run, daemon=True).start()
        return exchange.wait()


class _Exchange(httpx2.SyncByteStream):
    """A request and its answer; it is also the body, to see each piece that is sent.

    One thread runs it, and another waits for it.
    """

    def __init__(
        self, request: httpx2.Request, send: Callable[[httpx2.Request], httpx2.Response]
    ) -> None:
        self._request, self._send = request, send
        self._timeout: float = request.extensions["timeout"]["read"]
        self._deadline = time.monotonic() + self._timeout
        self._connections: list[Any] = []
        self._answer: Future[httpx2.Response] = Future()
        # A redirected request inherits both.
        request.extensions = {**request.extensions, "trace": self._trace}
        self._body = cast("httpx2.SyncByteStream", request.stream)
        request.stream = self

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._body:
            self._extend_deadline()
            yield piece
        self._extend_deadline()

    def run(self) -> None:
        """Send the request; the waiting thread gets the answer or the error."""
        try:
            self._answer.set_result(self._read(self._follow_redirects()))
        except BaseException as error:
            self._answer.set_exception(error)

    def wait(self) -> httpx2.Response:
        """Return the answer, or close the connection at the deadline."""
        try:
            while (left := self._deadline - time.monotonic()) > 0:
                wait([self._answer], left)
                if self._answer.done():
                    return self._answer.result()
            raise httpx2.ReadTimeout("too slow", request=self._request)
        finally:
            self._deadline = 0
            for connection in [] if self._answer.done() else self._connections:
                with suppress(OSError):
                    connection.get_extra_info("socket").shutdown(socket.SHUT_RDWR)

    def _check_deadline(self) -> None:
        """End the sending thread if nobody waits for it any more."""
        if time.monotonic() > self._deadline:
            raise httpx2.ReadTimeout("too slow", request=self._request)

    def _extend_deadline(self) -> None:
        """Allow the full timeout for the next piece."""
        self._check_deadline()
        self._deadline = time.monotonic() + self._timeout

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        """Keep each connection that is opened."""
        if event.endswith(("connect_tcp.complete", "start_tls.complete")):
            self._connections.append(info["return_value"])
            self._check_deadline()

    def _follow_redirects(self) -> httpx2.Response:
        """Return the answer after any redirects within the origin."""
        request = self._request
        for _ in range(_MAX_REDIRECTS):
            response = self._send(request)
            redirected = response.next_request
            if not redirected or origin(redirected.url) != origin(request.url):
                return response
            response.close()
            request = redirected
        raise httpx2.TooManyRedirects("too many redirects")

    def _read(self, response: httpx2.Response) -> httpx2.Response:
        """Return the answer with its content, decompressed."""
        raw = bytearray()
        with closing(response):
            for chunk in response.iter_raw():
                self._check_deadline()
                raw += chunk
                _refuse_size(len(raw))
        content = bytes(raw)
        coding = response.headers.get("content-encoding", "identity").lower()
        if coding == "gzip":
            content = _gunzip(content)
        elif coding != "identity":
            raise httpx2.DecodingError(f"the answer is compressed by {coding}")
        # Each value becomes an object, which takes far more memory than its text.
        if sum(content.count(sign) for sign in b",[{") > ANSWER_VALUES:
            raise TooLargeError
        headers = response.headers.copy()
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(name, None)
        request, status = response.request, response.status_code
        whole = httpx2.Response(
            status, headers=headers, content=content, request=request
        )
        whole.next_request = response.next_request
        return whole


def origin(url: httpx2.URL) -> str:
    """Return scheme, host and port of an address, without its password."""
    return str(httpx2.URL(scheme=url.scheme, host=url.host, port=url.port))


def parse_address(address: str) -> tuple[str, str]:
    """Return the host of an address, and the address without password and query.

    Raises:
        FinetuneError: It is not an address.
    """
    with suppress(httpx2.InvalidURL):
        url = httpx2.URL(address)
        if url.scheme in ("http", "https") and url.host and "%" not in url.host:
            shown = url.copy_with(userinfo=b"", query=None, fragment=None)
            return url.host, str(shown).rstrip("/")
    raise FinetuneError(
        "OPENAI_BASE_URL is not an address such as https://api.openai.com/v1; fix or "
        "unset it"
    )


def _gunzip(content: bytes) -> bytes:
    with suppress(zlib.error):
        data = zlib.decompressobj(31).decompress(content, _ANSWER_BYTES + 1)
        _refuse_size(len(data))
        return data
    raise httpx2.DecodingError("the answer is not gzip")


def _refuse_size(size: int) -> None:
    if size > _ANSWER_BYTES:
        raise TooLargeError
