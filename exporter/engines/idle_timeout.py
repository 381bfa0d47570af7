"""The timeout of a silent Spark server: its own client would wait without end."""

from collections.abc import Callable, Iterator
from threading import Timer
from time import monotonic

import grpc

from exporter.errors import FinetuneError

# While a query runs, Spark sends its progress every two seconds.
SECONDS = 120.0

_TIMED_OUT = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


class IdleTimeout(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]  # It has no types.
    """Ends a call, and the client's retries of it, after a time without an answer.

    The call then raises a FinetuneError.
    """

    def __init__(self) -> None:
        self._idle_since: float | None = None

    def intercept_unary_unary(
        self,
        continuation: Callable[..., grpc.Call],
        details: grpc.ClientCallDetails,
        request: object,
    ) -> grpc.Call:
        """Make a call with one answer."""
        timeout = self._remaining()
        call = continuation(details._replace(timeout=timeout), request)
        self._check(call.exception())
        return call

    def intercept_unary_stream(
        self,
        continuation: Callable[..., grpc.Call],
        details: grpc.ClientCallDetails,
        request: object,
    ) -> Iterator[object]:
        """Make a call with many answers."""
        return self._answers(continuation(details, request))

    def _answers(self, call: grpc.Call) -> Iterator[object]:
        """Yield the answers of a call that has begun."""
        while True:
            timer = Timer(self._remaining(), call.cancel)
            timer.daemon = True
            timer.start()
            try:
                answer = next(call, None)
            except grpc.RpcError as error:
                self._check(error)
                raise
            finally:
                timer.cancel()
            self._check(None)
            if answer is None:
                return
            yield answer

    def _remaining(self) -> float:
        """Return the seconds until the timeout."""
        if self._idle_since is None:
            self._idle_since = monotonic()
        return max(self._idle_since + SECONDS - monotonic(), 0.0)

    def _check(self, error: grpc.RpcError | None) -> None:
        """Reset the timeout after an answer; refuse to go on after the timeout."""
        code = error.code() if error else None
        if code in _TIMED_OUT or (
            code is grpc.StatusCode.UNAVAILABLE and not self._remaining()
        ):
            raise FinetuneError(
                f"Spark Connect: no answer for {SECONDS:.0f} seconds; look at the "
                "server's log, then export again"
            ) from error
        if code is not grpc.StatusCode.UNAVAILABLE:
            self._idle_since = None
