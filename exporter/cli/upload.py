"""`finetune upload`: the exported files to an endpoint."""

import math
from pathlib import Path

import click

from exporter.cli.connection import (
    EPILOG,
    IGNORE_DATES,
    check_dates,
    connect,
    connection_options,
)
from exporter.cli.console import (
    OUTPUT_DIR,
    QUIET,
    SECONDS_OR_ZERO,
    TEXT,
    Number,
    option,
    say,
    today,
)
from exporter.cli.stops import report_if_stopped
from exporter.endpoint.jobs import model_notes
from exporter.endpoint.parts import cancel_open_uploads
from exporter.endpoint.upload import Transfer, await_processed, find_file
from exporter.endpoint.upload_file import MEGABYTE, validated_files
from exporter.locks import locked


def _bytes(
    _context: click.Context, _option: click.Parameter, megabytes: float | None
) -> int | None:
    return None if megabytes is None else math.ceil(megabytes * MEGABYTE)


@click.command(epilog=EPILOG)
@OUTPUT_DIR
@option("--force", "Send files even if they are at the endpoint already.")
@option(
    "--parts-above MB",
    "Send files larger than this in parts.  [default: the endpoint's limit]",
    Number(0, 1_000_000),
    callback=_bytes,
)
@option(
    "--part-size MB",
    "Size of a part; after a failure only that part is sent again.",
    # OpenAI accepts parts of up to 64 MB (API reference, read 2026-11-22).
    Number(0, 64, above=True),
    default=32,
    callback=_bytes,
)
@option(
    "--wait SECONDS",
    "Longest wait until a file is processed; 0: do not wait.",
    SECONDS_OR_ZERO,
    default=1800,
)
@option(
    "--model NAME",
    "Model to train: refuse now if the provider has shut it down.",
    TEXT,
)
@IGNORE_DATES
@connection_options
@QUIET
def upload(
    output_dir: Path,
    force: bool,
    parts_above: int | None,
    part_size: int,
    wait: float,
    model: str | None,
    ignore_dates: bool,
    timeout: float,
    retries: int,
) -> None:
    """Send train.jsonl and, if there is one, valid.jsonl; print the ids.

    The files must have the hashes in the manifest. A file that is at the endpoint
    already is not sent again.
    """
    endpoint = connect("files", timeout=timeout, retries=retries)
    check_dates(endpoint, model, ignore=ignore_dates)
    with locked(output_dir):
        report_if_stopped(f"nothing was created at {endpoint.name}")
        files = validated_files(endpoint, output_dir)
        for note in model_notes(endpoint, model, today()) if model else []:
            say(f"warning: {note}")
        cancel_open_uploads(endpoint, output_dir)
        found = [None if force else find_file(endpoint, upload) for upload in files]
        for upload, existing in zip(files, found, strict=True):
            if existing:
                file = existing
                name = upload.remote_name
                say(f"{name} is at {endpoint.name} already, not sent again")
            else:
                transfer = Transfer(endpoint, upload)
                report_if_stopped(transfer.outcome_if_stopped)
                file = transfer.send(parts_above=parts_above, part_bytes=part_size)
            report_if_stopped(
                f"{file.id} is at {endpoint.name}; finetune upload again finds it"
            )
            await_processed(endpoint, file, wait=wait)
            click.echo(file.id)
