"""What providers say of their endpoints: limits, closing dates, what they want."""

import functools
from datetime import date, timedelta
from importlib import resources
from typing import Any, NamedTuple

import yaml

from exporter.errors import FinetuneError

MEGABYTE = 1 << 20
NEAR = timedelta(days=60)


class Provider(NamedTuple):
    """The limits and dates of one endpoint; the text is in providers.yml."""

    name: str
    reader: str
    files_bytes: int
    largest_bytes: int
    fewest_examples: int
    closings: list[dict[str, Any]]
    shutdowns: dict[str, date]
    wants: dict[str, str]
    instead: str
    source: str

    def notes(self, today: date) -> list[str]:
        """Return what a user should hear of dates near or gone by."""
        return [
            f"{self.name}: {closing['what']} "
            f"{'since' if closing['date'] <= today else 'from'} {closing['date']} "
            f"({self.source}); {self.instead}"
            for closing in self.closings
            if closing["date"] - NEAR <= today
        ]

    def shutdown(self, model: str) -> date | None:
        """Return when the model ends; its fine-tunes (ft:MODEL:...) end with it."""
        return self.shutdowns.get(model.removeprefix("ft:").split(":")[0])

    def refuse_closed(self, today: date) -> None:
        """Refuse a job where none can be created any more.

        Raises:
            FinetuneError: It closed, at the date in providers.yml or before.
        """
        for closing in self.closings:
            if closing.get("closed") and closing["date"] <= today:
                raise FinetuneError(
                    f"{self.name}: {closing['what']} since {closing['date']} "
                    f"({self.source}); {self.instead}, or try with --ignore-dates"
                )


def provider_at(host: str) -> Provider:
    """Return what is known of the endpoint at the host."""
    document = _document()
    special: dict[str, Any] = next(
        (
            endpoint
            for endpoint in document["endpoints"]
            if any(
                host == name or (name[0] == "." and host.endswith(name))
                for name in endpoint["hosts"]
            )
        ),
        {},
    )
    facts = document["default"] | special
    return Provider(
        facts.get("name", host),
        facts["reader"],
        facts["files_mb"] * MEGABYTE,
        facts["largest_mb"] * MEGABYTE,
        facts["fewest_examples"],
        facts.get("closings", []),
        facts.get("shutdowns", {}),
        facts.get("wants", {}),
        facts.get("instead", ""),
        f"{facts['source']}, read {facts['read']}" if special else "",
    )


@functools.cache
def _document() -> dict[str, Any]:
    text = resources.files(__package__).joinpath("providers.yml").read_bytes()
    document: dict[str, Any] = yaml.safe_load(text)
    return document
