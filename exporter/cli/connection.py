"""The options of every command that talks to an endpoint."""

from collections.abc import Callable
from typing import TypeVar

import click

from exporter.cli.console import EXIT_CODES, say, today
from exporter.endpoint.client import Endpoint

Command = TypeVar("Command", bound=Callable[..., object])

EPILOG = f"""\b
Environment:
  OPENAI_API_KEY   the key; it is never shown
  OPENAI_BASE_URL  the endpoint  [default: https://api.openai.com/v1]

{EXIT_CODES}"""


def connection_options(command: Command) -> Command:
    """Add --timeout and --retries."""
    for option in (
        click.option(
            "--retries",
            type=click.IntRange(0, 100),
            default=4,
            show_default=True,
            metavar="N",
            help="Times to repeat a request that got no answer.",
        ),
        click.option(
            "--timeout",
            type=click.FloatRange(0, min_open=True),
            default=300,
            show_default=True,
            metavar="SECONDS",
            help="Longest wait for an answer.",
        ),
    ):
        command = option(command)
    return command


IGNORE_DATES = click.option(
    "--ignore-dates", is_flag=True, help="Send even if the provider has closed."
)


def connect(route: str, *, timeout: float, retries: int) -> Endpoint:
    """Return the endpoint of the environment; say which of its dates are near.

    The route, "files" or "jobs", is one that it must have. Its connections are
    closed when the command ends.

    Raises:
        FinetuneError: The provider is known to have another API.
    """
    endpoint = Endpoint(timeout=timeout, retries=retries)
    click.get_current_context().call_on_close(endpoint.close)
    endpoint.provider.refuse_route(route)
    for note in endpoint.provider.dates(today()):
        say(f"warning: {note}")
    return endpoint
