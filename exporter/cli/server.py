"""The server that a command connects to."""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exporter.cli.console import say
from exporter.engines import embedded, spark
from exporter.errors import FinetuneError
from exporter.progress import set_printer, waiting

LOCAL_FOLDER = Path(".postgres")


def uses_own_server() -> bool:
    """Return whether PG* names another server than the one in this folder."""
    folder = LOCAL_FOLDER.absolute()
    return embedded.connection_is_set() and not embedded.is_connected_to(folder)


def complete_dbt(text: str, project_dir: Path, target: str = "postgres") -> str:
    """Return the text with its dbt commands completed, so that they can be pasted."""
    embedded_prefix = "finetune local run -- "
    prefix = "" if target == "spark" or uses_own_server() else embedded_prefix
    options = f"--project-dir {shlex.quote(str(project_dir))}"
    if target == "spark":
        options += " --target spark"
    return re.sub(r"\bdbt (build|show)\b", rf"{prefix}dbt \1 {options}", text)


@contextmanager
def completing_dbt(project_dir: Path, target: str) -> Iterator[None]:
    """Complete the dbt commands in the messages and the error of the block."""
    set_printer(lambda line: say(complete_dbt(line, project_dir, target)))
    try:
        yield
    except FinetuneError as error:
        text = complete_dbt(str(error), project_dir, target)
        raise FinetuneError(text) from error


@contextmanager
def server(target: str = "postgres") -> Iterator[None]:
    """Use the server that PG* names, or else start the embedded one.

    A Spark server must run already: its client tries for ten minutes to connect.
    """
    if target == "spark":
        spark.require_server()
    if target == "spark" or embedded.connection_is_set():
        yield
        return
    with ExitStack() as stack:
        with waiting(f"the PostgreSQL in {LOCAL_FOLDER} to start"):
            serving = embedded.serving(LOCAL_FOLDER.absolute())
            os.environ.update(stack.enter_context(serving))
        yield
