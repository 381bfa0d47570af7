"""Which server a command talks to."""

import os
import re
import shlex
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from exporter.cli.console import say
from exporter.engines import embedded, spark
from exporter.errors import FinetuneError
from exporter.progress import talk_to, waiting

LOCAL_FOLDER = Path(".postgres")


def own_server() -> bool:
    """Return whether PG* names a server that is not the one in this folder."""
    folder = LOCAL_FOLDER.absolute()
    return embedded.own_server_chosen() and not embedded.is_serving(folder)


def with_dbt(text: str, project_dir: Path, target: str = "postgres") -> str:
    """Return text with the commands of dbt in it as they can be pasted here."""
    prefix = "" if target == "spark" or own_server() else "finetune local run -- "
    options = f"--project-dir {shlex.quote(str(project_dir))}"
    if target == "spark":
        options += " --target spark"
    return re.sub(r"\bdbt (build|show)\b", rf"{prefix}dbt \1 {options}", text)


@contextmanager
def pasteable_remedies(project_dir: Path, target: str) -> Iterator[None]:
    """Complete the commands of dbt that an error or a line of talk asks for."""
    talk_to(lambda line: say(with_dbt(line, project_dir, target)))
    try:
        yield
    except FinetuneError as error:
        raise FinetuneError(with_dbt(str(error), project_dir, target)) from error


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
    with ExitStack() as stack:
        with waiting(f"the PostgreSQL in {LOCAL_FOLDER} to start"):
            serving = embedded.serving(LOCAL_FOLDER.absolute())
            os.environ.update(stack.enter_context(serving))
        yield
