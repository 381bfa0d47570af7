"""`finetune train`: a fine-tuning job of the uploaded files."""

import sys
from pathlib import Path
from typing import Any

import click
import orjson

from exporter import manifest
from exporter.cli.connection import (
    EPILOG,
    IGNORE_DATES,
    check_dates,
    connect,
    connection_options,
)
from exporter.cli.console import OUTPUT_DIR, QUIET, TEXT, Number, option, say, today
from exporter.cli.stops import report_if_stopped
from exporter.cli.watch import watch_job
from exporter.display import visible_json
from exporter.endpoint import jobs
from exporter.endpoint.client import Endpoint
from exporter.endpoint.upload import await_processed, find_file
from exporter.endpoint.upload_file import validated_files
from exporter.errors import FinetuneError
from exporter.locks import locked


def _parse_extra(
    _context: click.Context, _option: click.Parameter, values: tuple[str, ...]
) -> dict[str, Any]:
    """Return the values of KEY=JSON by their keys."""
    extra = {}
    for value in values:
        key, equals, text = value.partition("=")
        try:
            extra[key] = orjson.loads(text)
        except ValueError as error:
            raise click.BadParameter(
                f"{value!r}: the part after = must be JSON, with text in double quotes"
            ) from error
        if not key or not equals:
            raise click.BadParameter(f"{value!r} is not KEY=JSON")
    return extra


@click.command(epilog=EPILOG)
@option("--model NAME", "Model to train.", TEXT, required=True)
@option("--suffix WORD", "Part of the new model's name.", TEXT)
@option(
    "--seed N", "Random seed, to repeat the training.", click.IntRange(0, 2147483647)
)
@option("--epochs N", "Number of passes over the data.", click.IntRange(1, 50))
@option("--batch-size N", "Examples in a batch.", click.IntRange(1, 256))
@option(
    "--learning-rate-multiplier X",
    "Factor on the endpoint's learning rate.",
    Number(0, 1000, above=True),
)
@option(
    "--extra KEY=JSON",
    "Set a key of the request; A.B is key B in A, null removes it.",
    TEXT,
    multiple=True,
    callback=_parse_extra,
)
@option("--dry-run", "Print the request and create no job.")
@option("--yes", "Do not ask before paid work.")
@option("--again", "Create the job even if an equal one exists.")
@option("--watch follow", "Follow the job until it ends.")
@IGNORE_DATES
@OUTPUT_DIR
@connection_options
@QUIET
def train(
    model: str,
    suffix: str | None,
    seed: int | None,
    epochs: int | None,
    batch_size: int | None,
    learning_rate_multiplier: float | None,
    extra: dict[str, Any],
    dry_run: bool,
    yes: bool,
    again: bool,
    follow: bool,
    ignore_dates: bool,
    output_dir: Path,
    timeout: float,
    retries: int,
) -> None:
    """Create a fine-tuning job of the uploaded files; print its id.

    The endpoint chooses the options that are not given. If a job of the same
    request runs or has succeeded, no new one is created; its id is printed.
    """
    hyperparameters = {
        "n_epochs": epochs,
        "batch_size": batch_size,
        "learning_rate_multiplier": learning_rate_multiplier,
    }
    given = {key: value for key, value in hyperparameters.items() if value is not None}
    method = {"type": "supervised", "supervised": {"hyperparameters": given}}
    options = {"model": model, "suffix": suffix, "seed": seed, "method": method}
    endpoint = connect("jobs", timeout=timeout, retries=retries)
    check_dates(endpoint, model, ignore=ignore_dates)
    with locked(output_dir):
        report_if_stopped(f"no job was created at {endpoint.name}")
        body = _request(endpoint, options, extra, output_dir)
        if dry_run:
            click.echo(visible_json(orjson.dumps(body, option=orjson.OPT_INDENT_2)))
            return
        job = None if again else jobs.find_equal(endpoint, body)
        if job is None:
            _confirm(endpoint, body, yes=yes)
            report_if_stopped(
                f"a job may have been created at {endpoint.name}; finetune train "
                "again finds it before it creates one"
            )
            job = jobs.create(endpoint, body, again=again)
            say(f"created {job.id}; follow it with: finetune watch {job.id}")
        else:
            status = endpoint.redact(job.status)
            say(
                f"{job.id} was created by the same request and is {status}; add "
                "--again to create another job"
            )
    report_if_stopped(f"the job goes on: finetune watch {job.id} follows it")
    click.echo(job.id)
    if follow:
        watch_job(endpoint, job.id, output_dir)


def _request(
    endpoint: Endpoint, options: dict[str, Any], extra: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Return the body of the request for the uploaded files; print warnings."""
    files = validated_files(endpoint, folder)
    for key, note in endpoint.provider.wants.items():
        if not any(name.startswith(key.split(".")[0]) for name in extra):
            say(f"warning: {note}")
    for note in jobs.model_notes(endpoint, options["model"], today()):
        say(f"warning: {note}")
    file_ids = []
    for upload in files:
        file = find_file(endpoint, upload)
        if file is None:
            raise FinetuneError(
                f"{endpoint.name}: {upload.remote_name} is not there; run finetune "
                "upload"
            )
        await_processed(endpoint, file, wait=60)
        file_ids.append(file.id)
    return jobs.request(options, extra, manifest.read(folder), file_ids)


def _confirm(endpoint: Endpoint, body: dict[str, Any], *, yes: bool) -> None:
    """Ask on a terminal before work that costs money."""
    if yes:
        return
    if sys.stdin is None or not sys.stdin.isatty():
        raise click.UsageError("training costs money: without a terminal add --yes")
    click.confirm(
        f"Train {body['model']} at {endpoint.name}? It costs money.",
        abort=True,
        err=True,
    )
