"""What is known of each reader of a training file: one YAML file per reader.

A reader is a provider, a trainer or a library. Its limits, dates, models and
hosts stand in its file and nowhere else; what shows them is made from it.
"""

import datetime
import functools
from pathlib import Path
from typing import Annotated, Literal, get_args

from msgspec import Meta, Struct, field
from msgspec.structs import replace

from exporter.chat import DIALECTS
from exporter.errors import FinetuneError
from exporter.readers import schema

# So long before its date a closing is reported.
NEAR = datetime.timedelta(days=60)
FOLDER = Path(__file__).parent

_Kind = Literal["provider", "trainer", "library"]
_Examples = Literal["examples", "most_examples", "validation_examples"]
_Size = Literal["bytes", "request_bytes", "tokens"]


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where facts were read, and when."""

    what: str
    read: datetime.date


class Closing(Struct, frozen=True, forbid_unknown_fields=True):
    """What ends on a day, and what the reader is from then on, if anything."""

    date: datetime.date
    what: str
    state: Literal["closed", "deprecated"] | None = None

    def sentence(self, today: datetime.date) -> str:
        """Return what ends, and when."""
        return f"{self.what} {'since' if self.date <= today else 'from'} {self.date}"


class Reader(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A provider, trainer or library, as its file has it.

    `routes` are those of OpenAI's API that its hosts have. `proof` says what was
    done with the recipe: it was executed, its options are those of the client's
    parser, or nothing.
    """

    title: Annotated[str, Meta(min_length=1)]
    kind: _Kind
    sources: Annotated[list[Source], Meta(min_length=1)]
    hosts: list[str] = []
    routes: list[Literal["files", "jobs"]] = []
    dialect: Annotated[str, Meta(pattern=f"^({'|'.join(DIALECTS)})$")] = "messages"
    like: str = ""
    stated: dict[_Examples | _Size, int | Literal["none", "unknown"]] = field(
        name="limits", default={}
    )
    otherwise: Literal["error", "warning"] = "error"
    accepts: list[str] = []
    warns: list[str] = []
    refuses: list[str] = []
    wants: dict[str, str] = {}
    reserved: list[str] = []
    closings: list[Closing] = []
    instead: list[str] = []
    models: dict[str, datetime.date] = {}
    proof: Literal["executed", "parsed", ""] = ""
    recipe: str = ""
    name: str = ""

    @property
    def limits(self) -> dict[str, int]:
        """Return its limits in bytes, examples and tokens, those of `like` too.

        One that is missing does not exist or is stated nowhere.
        """
        return {k: limit for k, limit in self.stated.items() if isinstance(limit, int)}

    def source(self) -> str:
        """Return where the facts were read, and when last."""
        last = max(self.sources, key=lambda source: source.read, default=None)
        return f"{last.what}, read {last.read}" if last else ""

    def closed(self, today: datetime.date) -> Closing | None:
        """Return the closing after which nothing is trained, if it is past."""
        ends = (c for c in self.closings if c.state == "closed" and c.date <= today)
        return next(ends, None)

    def state(self, today: datetime.date) -> str:
        """Return in a few words whether one can train there."""
        states = [closing for closing in self.closings if closing.state]
        past = [closing for closing in states if closing.date <= today]
        if past:
            return f"{past[-1].state} since {past[-1].date}"
        return f"open, {states[0].state} from {states[0].date}" if states else "open"

    def dates(self, today: datetime.date, model: str | None = None) -> list[str]:
        """Return what a user should hear of ends, of the model too, near or gone by."""
        closed = self.closed(today)
        notes = [
            f"{self.title}: {closing.sentence(today)} ({self.source()}); "
            f"{self.advice(today)}"
            for closing in ([closed] if closed else self.closings)
            if closing.date - NEAR <= today
        ]
        return notes + (ending(model, self.shutdown(model), today) if model else [])

    def refuse_closed(self, today: datetime.date, model: str | None = None) -> None:
        """Refuse to send anything where nothing, or not this model, is trained.

        Raises:
            FinetuneError: It ended on that day or before.
        """
        closing = self.closed(today)
        ended = [closing.sentence(today)] if closing else []
        if model and (shutdown := self.shutdown(model)) and shutdown <= today:
            ended += ending(model, shutdown, today)
        if ended:
            raise FinetuneError(
                f"{self.title}: {ended[0]} ({self.source()}); {self.advice(today)}, or "
                "try it with --ignore-dates"
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

    def shutdown(self, model: str) -> datetime.date | None:
        """Return when the model ends; its fine-tunes (ft:MODEL:...) end with it."""
        name = model.strip().lower().removeprefix("ft:")
        return self.models.get(name.split(":")[0].strip())

    def advice(self, today: datetime.date) -> str:
        """Return what to use instead, of what is not closed on that day."""
        places = []
        for name in self.instead:
            other = read_readers()[name]
            if not other.closed(today):
                ends = [c.date for c in other.closings if c.state == "closed"]
                until = f", until {ends[0]}" if ends else ""
                places.append(f"{other.title} (finetune recipe {name}{until})")
        *most, last = places or ["another endpoint"]
        return f"use {', '.join(most)} or {last}" if most else f"use {last}"


def ending(model: str, end: datetime.date | None, today: datetime.date) -> list[str]:
    """Return what to say of the day when a model ends, if that is near or gone by."""
    if end is None or end - NEAR > today:
        return []
    when = "was" if end <= today else "and its fine-tunes will be"
    return [f"{model} {when} shut down on {end}"]


@functools.cache
def read_readers(folder: Path = FOLDER) -> dict[str, Reader]:
    """Return all readers by name, the endpoints first.

    Raises:
        FinetuneError: A file has a fault; file and line are named.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.yml"))}
    readers: dict[str, Reader] = {}

    def add(name: str) -> None:
        """Add a reader, after the one that it is like."""
        if not name or name in readers:
            return
        reader = schema.load(paths[name], Reader)
        if reader.name:
            where = schema.first_place(paths[name], "name:")
            raise FinetuneError(f"{where}: its file names it, not the key name")
        named = [("instead:", other) for other in reader.instead]
        for key, other in [("like:", reader.like), *named]:
            if other and other not in paths:
                where = schema.first_place(paths[name], key)
                raise FinetuneError(f"{where}: {other} is not a reader")
        add(reader.like)
        inherited = readers[reader.like].stated if reader.like else {}
        stated = inherited | reader.stated
        readers[name] = replace(reader, name=name, stated=stated)

    for name in paths:
        add(name)
    kinds = get_args(_Kind)
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
