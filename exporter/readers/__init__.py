"""What is known of each reader of a training file: one YAML file per reader.

A reader is a provider, a trainer or a library. Its limits, dates, models and
hosts stand in its file and nowhere else; what shows them is made from it.
"""

import functools
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

from exporter.errors import FinetuneError
from exporter.readers import shape

# So long before its date a closing is reported.
NEAR = timedelta(days=60)
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Reader:
    """A provider, trainer or library, as its file has it.

    `limits` are in bytes, examples and tokens; one that is missing does not
    exist or is stated nowhere. `routes` are those of OpenAI's API that its
    hosts have. `proof` says what was done with the recipe: it was executed, its
    options are those of the client's parser, or nothing.
    """

    name: str
    title: str
    kind: str
    sources: list[dict[str, Any]]
    hosts: list[str] = field(default_factory=list)
    routes: list[str] = field(default_factory=list)
    dialect: str = "messages"
    like: str = ""
    limits: dict[str, int] = field(default_factory=dict)
    otherwise: str = "error"
    accepts: list[str] = field(default_factory=list)
    warns: list[str] = field(default_factory=list)
    refuses: list[str] = field(default_factory=list)
    wants: dict[str, str] = field(default_factory=dict)
    reserved: list[str] = field(default_factory=list)
    closings: list[dict[str, Any]] = field(default_factory=list)
    instead: list[str] = field(default_factory=list)
    models: dict[str, date] = field(default_factory=dict)
    proof: str = ""
    recipe: str = ""

    def source(self) -> str:
        """Return where the facts were read, and when last."""
        if not self.sources:
            return ""
        last = max(self.sources, key=lambda source: source["read"])
        return f"{last['what']}, read {last['read']}"

    def closed(self, today: date) -> dict[str, Any] | None:
        """Return the closing after which nothing is trained, if it is past."""
        return next(
            (
                closing
                for closing in self.closings
                if closing.get("state") == "closed" and closing["date"] <= today
            ),
            None,
        )

    def state(self, today: date) -> str:
        """Return in a few words whether one can train there."""
        past = [c for c in self.closings if c["date"] <= today and "state" in c]
        coming = [c for c in self.closings if c["date"] > today and "state" in c]
        if past:
            return f"{past[-1]['state']} since {past[-1]['date']}"
        if coming:
            return f"open, {coming[0]['state']} from {coming[0]['date']}"
        return "open"

    def dates(self, today: date, model: str | None = None) -> list[str]:
        """Return what a user should hear of ends, of the model too, near or gone by."""
        closed = self.closed(today)
        notes = [
            f"{self.title}: {_sentence(closing, today)} ({self.source()}); "
            f"{self.advice(today)}"
            for closing in ([closed] if closed else self.closings)
            if closing["date"] - NEAR <= today
        ]
        end = self.shutdown(model) if model else None
        if end and end - NEAR <= today:
            when = "was" if end <= today else "and its fine-tunes will be"
            notes.append(f"{model} {when} shut down on {end}")
        return notes

    def refuse_closed(self, today: date, model: str | None = None) -> None:
        """Refuse to send anything where nothing, or not this model, is trained.

        Raises:
            FinetuneError: It ended on that day or before.
        """
        closing = self.closed(today)
        shutdown = self.shutdown(model) if model else None
        if closing:
            what = _sentence(closing, today)
        elif shutdown and shutdown <= today:
            what = f"{model} was shut down on {shutdown}"
        else:
            return
        raise FinetuneError(
            f"{self.title}: {what} ({self.source()}); {self.advice(today)}, or try "
            "it with --ignore-dates"
        )

    def refuse_route(self, route: str) -> None:
        """Refuse an endpoint that has another API than OpenAI's.

        Raises:
            FinetuneError: It has not the route, "files" or "jobs".
        """
        if route not in self.routes:
            raise FinetuneError(
                f"{self.title} has its own API, not OpenAI's {route} route; see "
                f"finetune recipe {self.name}, or set OPENAI_BASE_URL to another "
                "endpoint"
            )

    def shutdown(self, model: str) -> date | None:
        """Return when the model ends; its fine-tunes (ft:MODEL:...) end with it."""
        name = model.strip().lower().removeprefix("ft:")
        return self.models.get(name.split(":")[0].strip())

    def advice(self, today: date) -> str:
        """Return what to use instead, of what is not closed on that day."""
        readers = read_readers()
        places = []
        for name in self.instead:
            other = readers[name]
            if not other.closed(today):
                ends = [c["date"] for c in other.closings if c.get("state") == "closed"]
                until = f", until {ends[0]}" if ends else ""
                places.append(f"{other.title} (finetune recipe {name}{until})")
        *most, last = places or ["another endpoint"]
        return f"use {', '.join(most)} or {last}" if most else f"use {last}"


def _sentence(closing: dict[str, Any], today: date) -> str:
    when = "since" if closing["date"] <= today else "from"
    return f"{closing['what']} {when} {closing['date']}"


@functools.cache
def read_readers(folder: Path = FOLDER) -> dict[str, Reader]:
    """Return all readers by name, the endpoints first.

    Raises:
        FinetuneError: A file has a fault; file and line are named.
    """
    readers: dict[str, Reader] = {}
    paths = {path.stem: path for path in sorted(folder.glob("*.yml"))}

    def add(name: str) -> Reader:
        if name not in readers:
            document = shape.read(paths[name])
            limits = document.pop("limits", {})
            if "like" in document:
                if document["like"] not in paths:
                    where = shape.line_of(paths[name], "like:")
                    raise FinetuneError(f"{where}: {document['like']} is not a reader")
                limits = add(document["like"]).limits | limits
            known = {k: v for k, v in limits.items() if isinstance(v, int)}
            readers[name] = Reader(name, limits=known, **document)
        return readers[name]

    for name in paths:
        add(name)
    for reader in readers.values():
        for name in reader.instead:
            if name not in paths:
                where = shape.line_of(paths[reader.name], "instead:")
                raise FinetuneError(f"{where}: {name} is not a reader")
    kinds = ["provider", "trainer", "library"]
    ordered = sorted(
        readers.values(), key=lambda r: (-len(r.routes), kinds.index(r.kind))
    )
    return {reader.name: reader for reader in ordered}


def limits(kind: str, readers: dict[str, Reader]) -> list[tuple[int, list[str]]]:
    """Return the limits of one kind, such as "tokens", and who has them."""
    found: dict[int, list[str]] = {}
    for name, reader in readers.items():
        if kind in reader.limits:
            found.setdefault(reader.limits[kind], []).append(name)
    return sorted(found.items())


def reader_at(host: str) -> Reader:
    """Return the provider at a host; an unknown one is held to OpenAI's limits."""
    readers = read_readers()
    for reader in readers.values():
        for name in reader.hosts:
            if host == name or (name[0] in ".-" and host.endswith(name)):
                return reader
    return replace(
        readers["openai"], title=host, sources=[], closings=[], instead=[], models={}
    )
