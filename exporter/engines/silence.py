"""How long a Spark server may say nothing: its own client would wait for ever."""

from collections.abc import Callable, Iterator
from threading import Timer
from time import monotonic

import grpc

from exporter.errors import FinetuneError

# While a query runs, Spark says every two seconds how far it is.
LONGEST = 120.0

_GIVEN_UP = {grpc.StatusCode.CANCELLED, grpc.StatusCode.DEADLINE_EXCEEDED}


class Limit(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]  # It has no types.
    """Ends a call, and all that the client repeats, when nothing is heard too long.

    The call then raises a FinetuneError.
    """

    def __init__(self) -> None:
        self._silent_since: float | None = None

    def intercept_unary_unary(
        self,
        go_on: Callable[..., grpc.Call],
        details: grpc.ClientCallDetails,
        request: object,
    ) -> grpc.Call:
        """Make a call with one answer."""
        call = go_on(details._replace(timeout=self._left()), request)
        self._judge(call.exception())
        return call

    def intercept_unary_stream(
        self,
        go_on: Callable[..., grpc.Call],
        details: grpc.ClientCallDetails,
        request: object,
    ) -> Iterator[object]:
        """Make a call with many answers."""
        return self._answers(go_on(details, request))

    def _answers(self, call: grpc.Call) -> Iterator[object]:
        while True:
            timer = Timer(self._left(), call.cancel)
            timer.daemon = True
            timer.start()
            try:
                answer = next(call, None)
            except grpc.RpcError as error:
                self._judge(error)
                raise
            finally:
                timer.cancel()
            self._judge(None)
            if answer is None:
                return
            yield answer

    def _left(self) -> float:
        """Return how many seconds the silence may still last."""
        if self._silent_since is None:
            self._silent_since = monotonic()
        return max(self._silent_since + LONGEST - monotonic(), 0.0)

    def _judge(self, error: grpc.RpcError | None) -> None:
        """Note that the server has spoken, or end the call because it has not."""
        code = error.code() if error else None
        if code in _GIVEN_UP or (
            code is grpc.StatusCode.UNAVAILABLE and not self._left()
        ):
            raise FinetuneError(
                f"Spark Connect: no answer for {LONGEST:.0f} seconds; look at the "
                "server's log, then export again"
            ) from error
        if code is not grpc.StatusCode.UNAVAILABLE:
            self._silent_since = None
