"""What the commands that use an endpoint share: their options and the connection."""

import click

from exporter.cli.console import EXIT_CODES, SECONDS, Command, option, say, today
from exporter.endpoint.client import Endpoint

EPILOG = f"""\b
Environment:
  OPENAI_API_KEY   the key; it is never shown
  OPENAI_BASE_URL  the endpoint  [default: https://api.openai.com/v1]

{EXIT_CODES}"""


def connection_options(command: Command) -> Command:
    """Add --timeout and --retries."""
    timeout = option("--timeout SECONDS", "Longest wait for an answer.", SECONDS, 300)
    retries = option(
        "--retries N",
        "Times to repeat a request that got no answer.",
        click.IntRange(0, 100),
        4,
    )
    return timeout(retries(command))


IGNORE_DATES = option("--ignore-dates", "Try even after the provider's closing dates.")


def connect(route: str, *, timeout: float, retries: int) -> Endpoint:
    """Return the endpoint of the environment, which must have a route, such as "jobs".

    Its connections are closed when the command ends.

    Raises:
        FinetuneError: The address or the key cannot be used, or the provider is known
            to have another API.
    """
    endpoint = Endpoint(timeout=timeout, retries=retries)
    click.get_current_context().call_on_close(endpoint.close)
    endpoint.provider.refuse_route(route)
    return endpoint


def check_dates(endpoint: Endpoint, model: str | None, *, ignore: bool) -> None:
    """Warn of the provider's closing dates that are near; refuse after them.

    Raises:
        FinetuneError: The provider is known to train nothing any more, or not this
            model.
    """
    for note in endpoint.provider.date_warnings(today()):
        say(f"warning: {note}")
    if not ignore:
        endpoint.provider.refuse_closed(today(), model)
