"""Which server a command talks to."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exporter.engines import embedded, spark

LOCAL_FOLDER = Path(".postgres")


@contextmanager
def server(target: str = "postgres") -> Iterator[None]:
    """Use the server that PG* names, or else the embedded one.

    Spark's must run already: to find that out, its client takes ten minutes.
    """
    if target == "spark":
        spark.require_server()
        yield
        return
    if embedded.own_server_chosen():
        yield
        return
    with embedded.serving(LOCAL_FOLDER.absolute()) as variables:
        os.environ.update(variables)
        yield
