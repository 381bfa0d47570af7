"""The options of every command that talks to an endpoint."""

import click

from exporter.cli.console import ABOVE_ZERO, EXIT_CODES, Command, option, say, today
from exporter.endpoint.client import Endpoint

EPILOG = f"""\b
Environment:
  OPENAI_API_KEY   the key; it is never shown
  OPENAI_BASE_URL  the endpoint  [default: https://api.openai.com/v1]

{EXIT_CODES}"""


def connection_options(command: Command) -> Command:
    """Add --timeout and --retries."""
    timeout = option(
        "--timeout SECONDS", "Longest wait for an answer.", ABOVE_ZERO, 300
    )
    retries = option(
        "--retries N",
        "Times to repeat a request that got no answer.",
        click.IntRange(0, 100),
        4,
    )
    return timeout(retries(command))


IGNORE_DATES = option("--ignore-dates", "Send even if the provider has closed.")


def connect(
    route: str, model: str | None, ignore_dates: bool, *, timeout: float, retries: int
) -> Endpoint:
    """Return the endpoint of the environment; say which of its dates are near.

    The route, "files" or "jobs", is one that it must have. Its connections are
    closed when the command ends.

    Raises:
        FinetuneError: The provider is known to have another API, or to train nothing
            any more, or not this model.
    """
    endpoint = Endpoint(timeout=timeout, retries=retries)
    click.get_current_context().call_on_close(endpoint.close)
    endpoint.provider.refuse_route(route)
    for note in endpoint.provider.dates(today()):
        say(f"warning: {note}")
    if not ignore_dates:
        endpoint.provider.refuse_closed(today(), model)
    return endpoint
