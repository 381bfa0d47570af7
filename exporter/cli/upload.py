"""`finetune upload`: the exported files to an endpoint."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from exporter.cli.connection import (
    EPILOG,
    IGNORE_DATES,
    connect,
    connection_options,
)
from exporter.cli.console import OUTPUT_DIR, QUIET, say, today
from exporter.cli.stops import stands
from exporter.endpoint import jobs, parts
from exporter.endpoint import upload as uploads
from exporter.endpoint.client import Endpoint
from exporter.endpoint.source import (
    MEGABYTE,
    Sending,
    Source,
    checked_sources,
)
from exporter.files import locked
from exporter.progress import Step, step


@click.command(epilog=EPILOG)
@OUTPUT_DIR
@click.option("--force", is_flag=True, help="Send again what is there already.")
@click.option(
    "--parts-above",
    type=click.FloatRange(0),
    metavar="MB",
    help="Send larger files in parts.  [default: the endpoint's limit]",
)
@click.option(
    "--part-size",
    # OpenAI takes parts of up to 64 MB (API reference, read 2026-11-22).
    type=click.FloatRange(0, 64, min_open=True),
    default=32,
    show_default=True,
    metavar="MB",
    help="Size of a part; only a lost part is sent again.",
)
@click.option(
    "--wait",
    type=click.FloatRange(0),
    default=1800,
    show_default=True,
    metavar="SECONDS",
    help="Longest wait until a file is processed; 0: do not wait.",
)
@click.option(
    "--model",
    metavar="NAME",
    help="Model to be trained: refuse now if the provider has shut it down.",
)
@IGNORE_DATES
@connection_options
@QUIET
def upload(
    output_dir: Path,
    force: bool,
    parts_above: float | None,
    part_size: float,
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
    if not ignore_dates:
        endpoint.provider.refuse_closed(today(), model)
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
            if there is None:
                with _sending(endpoint, source, parts_above, part_size) as sending:
                    file = uploads.send(endpoint, source, sending)
            else:
                file = there
                say(f"{source.name} is at {endpoint.name} already, not sent again")
            stands(f"{file.id} is at {endpoint.name}; finetune upload again finds it")
            uploads.await_processed(endpoint, file, wait=wait)
            click.echo(file.id)


@contextmanager
def _sending(
    endpoint: Endpoint, source: Source, parts_above: float | None, part_size: float
) -> Iterator[Sending]:
    """Say what is sent, and at what rate it was."""
    size = source.facts.bytes
    limits = endpoint.provider.limits
    limit = limits.get("request_bytes", limits.get("bytes", size))
    if parts_above is not None:
        limit = int(parts_above * MEGABYTE)
    say(f"sending {source.path} ({size:,} bytes) to {endpoint.name}")
    start = time.monotonic()
    sent = 0

    def advanced(count: int) -> None:
        nonlocal sent
        sent += count

    def standing() -> str:
        if sent < size:
            return f"{source.name} was not uploaded to {endpoint.name}"
        return (
            f"{source.name} may be at {endpoint.name}; finetune upload again finds it, "
            "or sends it"
        )

    stands(standing)
    with step(Step(f"sending {source.path.name}", size, "bytes", lambda: sent)):
        yield Sending(limit, int(part_size * MEGABYTE), advanced)
    rate = sent / MEGABYTE / max(time.monotonic() - start, 1e-3)
    say(f"sent at {rate:,.1f} MB/s")
