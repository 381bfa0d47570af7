"""`finetune watch`: a job's events until it ends."""

import re
from pathlib import Path

import click

from exporter.cli.connection import EPILOG, connect, connection_options
from exporter.cli.console import OUTPUT_DIR, SECONDS, option, say
from exporter.cli.stops import report_if_stopped
from exporter.display import visible
from exporter.endpoint.client import Endpoint
from exporter.endpoint.watch import follow, record_outcome
from exporter.errors import FinetuneError


def _job_id(_context: click.Context, _argument: click.Parameter, value: str) -> str:
    """Return the id if it can be part of a file name."""
    if not re.fullmatch(r"[A-Za-z0-9][\w.:-]*", value, re.ASCII):
        raise click.BadParameter(f"{value!r} is not the id of a job")
    return value


@click.command(epilog=EPILOG)
@click.argument("job", callback=_job_id)
@option("--interval SECONDS", "Time between two requests.", SECONDS, 10)
@OUTPUT_DIR
@connection_options
def watch(
    job: str, output_dir: Path, timeout: float, retries: int, interval: float
) -> None:
    """Follow JOB until it ends; print the name of the new model.

    Each event is shown once, even if you stop and watch again. The outcome is
    added to jobs.jsonl beside the manifest. Exits with 0 if the job succeeded,
    else 1.
    """
    watch_job(
        connect("jobs", timeout=timeout, retries=retries), job, output_dir, interval
    )


def watch_job(
    endpoint: Endpoint, job: str, output_dir: Path, interval: float = 10
) -> None:
    """Follow a job until it ends; print the name of its model, if it has one.

    Raises:
        FinetuneError: The job failed, or the folder cannot be written.
    """
    report_if_stopped(f"the job goes on: finetune watch {job} follows it again")
    try:
        output_dir.mkdir(parents=True, exist_ok=True)
        ended = follow(endpoint, job, folder=output_dir, interval=interval)
        outcome = record_outcome(endpoint, ended, output_dir)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise FinetuneError(
            f"{error.filename or output_dir}: {error.strerror}"
        ) from error
    if outcome["status"] != "succeeded":
        why = f": {outcome['error']}" if outcome["error"] else ""
        raise FinetuneError(
            f"{job}: {outcome['status']}{why}; fix the data or the options "
            "and train again"
        )
    tokens = outcome["trained_tokens"]
    trained = f"{tokens:,}" if isinstance(tokens, int) else "an unknown number of"
    model = visible(outcome["fine_tuned_model"] or "")
    say(f"{model or 'a model without a name'}: {trained} tokens trained")
    if model:
        click.echo(model)
