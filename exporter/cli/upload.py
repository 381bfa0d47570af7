"""`finetune upload`: the exported files to an endpoint."""

import math
from functools import partial
from pathlib import Path

import click

from exporter.cli.connection import EPILOG, IGNORE_DATES, connect, connection_options
from exporter.cli.console import OUTPUT_DIR, QUIET, option, say, today
from exporter.cli.stops import stands
from exporter.endpoint import jobs, parts
from exporter.endpoint import upload as uploads
from exporter.endpoint.client import Endpoint
from exporter.endpoint.source import MEGABYTE, Source, checked_sources
from exporter.locks import locked


def _bytes(
    _context: click.Context, _option: click.Parameter, megabytes: float | None
) -> int | None:
    return None if megabytes is None else math.ceil(megabytes * MEGABYTE)


@click.command(epilog=EPILOG)
@OUTPUT_DIR
@option("--force", "Send again what is there already.")
@option(
    "--parts-above MB",
    "Send larger files in parts.  [default: the endpoint's limit]",
    click.FloatRange(0),
    callback=_bytes,
)
@option(
    "--part-size MB",
    "Size of a part; only a lost part is sent again.",
    # OpenAI takes parts of up to 64 MB (API reference, read 2026-11-22).
    click.FloatRange(0, 64, min_open=True),
    default=32,
    callback=_bytes,
)
@option(
    "--wait SECONDS",
    "Longest wait until a file is processed; 0: do not wait.",
    click.FloatRange(0),
    default=1800,
)
@option(
    "--model NAME",
    "Model to be trained: refuse now if the provider has shut it down.",
    click.STRING,
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
    endpoint = connect("files", model, ignore_dates, timeout=timeout, retries=retries)
    with locked(output_dir):
        stands(f"nothing was created at {endpoint.name}")
        sources = checked_sources(endpoint, output_dir)
        for note in jobs.model_notes(endpoint, model, today()) if model else []:
            say(f"warning: {note}")
        parts.cancel_left_open(endpoint, output_dir)
        found = [
            None if force else uploads.find(endpoint, source) for source in sources
        ]
        for source, there in zip(sources, found, strict=True):
            if there:
                say(f"{source.name} is at {endpoint.name} already, not sent again")
                file = there
            else:
                sending = uploads.Sending(endpoint, source)
                stands(partial(_standing, endpoint, source, sending))
                file = sending.run(parts_above=parts_above, part_bytes=part_size)
            stands(f"{file.id} is at {endpoint.name}; finetune upload again finds it")
            uploads.await_processed(endpoint, file, wait=wait)
            click.echo(file.id)


def _standing(endpoint: Endpoint, source: Source, sending: uploads.Sending) -> str:
    if sending.sent() < source.facts.bytes:
        return f"{source.name} was not uploaded to {endpoint.name}"
    return (
        f"{source.name} may be at {endpoint.name}; finetune upload again finds it, "
        "or sends it"
    )
