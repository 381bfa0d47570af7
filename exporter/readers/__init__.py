"""The readers of training files: providers, trainers and libraries, a YAML file each.

The limits, dates, models and hosts of a reader are in its file and nowhere else.
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

# A closing or a shutdown is reported from this long before its date.
NOTICE = datetime.timedelta(days=60)
FOLDER = Path(__file__).parent

_Kind = Literal["provider", "trainer", "library"]
_Examples = Literal["examples", "most_examples", "validation_examples"]
_Size = Literal["bytes", "request_bytes", "tokens"]


class Source(Struct, frozen=True, forbid_unknown_fields=True):
    """Where the facts come from, and when they were read."""

    what: str
    read: datetime.date


class Closing(Struct, frozen=True, forbid_unknown_fields=True):
    """What ends on a date, and the state of the reader from then on, if it changes."""

    date: datetime.date
    what: str
    state: Literal["closed", "deprecated"] | None = None

    def text(self, today: datetime.date) -> str:
        """Return what ends, and since or from which date."""
        return f"{self.what} {'since' if self.date <= today else 'from'} {self.date}"


class Reader(Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The content of a reader's file; only title, kind and sources are required."""

    title: Annotated[str, Meta(min_length=1)]
    kind: _Kind
    sources: Annotated[list[Source], Meta(min_length=1)]
    # Of a provider: host names, or their ends (".x.com"); the routes of OpenAI's API.
    hosts: list[str] = []
    routes: list[Literal["files", "jobs"]] = []
    # The form of the lines that it reads.
    dialect: Annotated[str, Meta(pattern=f"^({'|'.join(DIALECTS)})$")] = "messages"
    # A reader whose limits and severities it has, unless its own file lists them.
    like: str = ""
    published_limits: dict[_Examples | _Size, int | Literal["none", "unknown"]] = field(
        name="limits", default={}
    )
    # How severe the errors of rules.yml are that no list below names.
    default_severity: Literal["error", "warning"] = "error"
    # Rules of rules.yml, or groups of them.
    accepts: list[str] = []
    warns: list[str] = []
    refuses: list[str] = []
    # Keys of the request, each with the warning of `train` if --extra does not set it.
    wants: dict[str, str] = {}
    # Words that no text may contain, because a job fails then (rule reserved-word).
    reserved: list[str] = []
    closings: list[Closing] = []
    # Readers to use when this one has closed.
    instead: list[str] = []
    # The models that are shut down, with their dates.
    models: dict[str, datetime.date] = {}
    # How the recipe is tested: run, or its options parsed by the client, or not.
    proof: Literal["executed", "parsed", ""] = ""
    recipe: str = ""
    name: str = ""

    @property
    def limits(self) -> dict[str, int]:
        """Its limits in bytes, examples and tokens, with those of `like`.

        A missing limit does not exist, or the reader does not publish it.
        """
        return {
            k: limit
            for k, limit in self.published_limits.items()
            if isinstance(limit, int)
        }

    def latest_source(self) -> str:
        """Return the source that was read last, with its date."""
        last = max(self.sources, key=lambda source: source.read, default=None)
        return f"{last.what}, read {last.read}" if last else ""

    def closed(self, today: datetime.date) -> Closing | None:
        """Return the closing that has ended training there, if one has."""
        ends = (c for c in self.closings if c.state == "closed" and c.date <= today)
        return next(ends, None)

    def state(self, today: datetime.date) -> str:
        """Return "open", "closed" or "deprecated", with the date of the change."""
        changes = [closing for closing in self.closings if closing.state]
        past = [closing for closing in changes if closing.date <= today]
        if past:
            return f"{past[-1].state} since {past[-1].date}"
        return f"open, {changes[0].state} from {changes[0].date}" if changes else "open"

    def date_warnings(
        self, today: datetime.date, model: str | None = None
    ) -> list[str]:
        """Return warnings of closings and of the model's shutdown, near or past."""
        closed = self.closed(today)
        warnings = [
            self._closing_text(closing.text(today), today)
            for closing in ([closed] if closed else self.closings)
            if closing.date - NOTICE <= today
        ]
        if model:
            warnings += shutdown_warnings(model, self.shutdown(model), today)
        return warnings

    def refuse_closed(self, today: datetime.date, model: str | None = None) -> None:
        """Refuse to send anything if the reader has closed or the model is shut down.

        Raises:
            FinetuneError: One of these dates is today or before.
        """
        closing = self.closed(today)
        ended = [closing.text(today)] if closing else []
        if model and (shutdown := self.shutdown(model)) and shutdown <= today:
            ended += shutdown_warnings(model, shutdown, today)
        if ended:
            text = self._closing_text(ended[0], today)
            raise FinetuneError(f"{text}, or try it with --ignore-dates")

    def _closing_text(self, ended: str, today: datetime.date) -> str:
        source, alternatives = self.latest_source(), self.alternatives(today)
        return f"{self.title}: {ended} ({source}); {alternatives}"

    def refuse_route(self, route: str) -> None:
        """Refuse a provider that lacks a route of OpenAI's API: "files" or "jobs".

        Raises:
            FinetuneError: The provider has its own API instead.
        """
        if route not in self.routes:
            raise FinetuneError(
                f"{self.title} has its own API, not OpenAI's {route} route; see "
                f"finetune recipe {self.name}, or set OPENAI_BASE_URL to another "
                "endpoint"
            )

    def shutdown(self, model: str) -> datetime.date | None:
        """Return when a model, or its fine-tune ft:MODEL:..., is shut down."""
        name = model.strip().lower().removeprefix("ft:")
        return self.models.get(name.split(":")[0].strip())

    def alternatives(self, today: datetime.date) -> str:
        """Return which readers to use instead, of those that are not closed."""
        open_readers = []
        for name in self.instead:
            other = read_readers()[name]
            if not other.closed(today):
                ends = [c.date for c in other.closings if c.state == "closed"]
                until = f", until {ends[0]}" if ends else ""
                open_readers.append(f"{other.title} (finetune recipe {name}{until})")
        *most, last = open_readers or ["another endpoint"]
        return f"use {', '.join(most)} or {last}" if most else f"use {last}"


def shutdown_warnings(
    model: str, shutdown: datetime.date | None, today: datetime.date
) -> list[str]:
    """Return a warning of a model's shutdown if it is near or past, else none."""
    if shutdown is None or shutdown - NOTICE > today:
        return []
    when = "was" if shutdown <= today else "and its fine-tunes will be"
    return [f"{model} {when} shut down on {shutdown}"]


@functools.cache
def read_readers(folder: Path = FOLDER) -> dict[str, Reader]:
    """Return all readers by name, those with OpenAI's API first.

    Raises:
        FinetuneError: A file is invalid; the message names file and line.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*.yml"))}
    readers: dict[str, Reader] = {}

    def add(name: str) -> None:
        """Add a reader after the one that it is `like`."""
        if not name or name in readers:
            return
        reader = schema.load(paths[name], Reader)
        if reader.name:
            where = schema.line_of(paths[name], "name:")
            raise FinetuneError(f"{where}: the file's name is the name; remove the key")
        named = [("instead:", other) for other in reader.instead]
        for key, other in [("like:", reader.like), *named]:
            if other and other not in paths:
                where = schema.line_of(paths[name], key)
                raise FinetuneError(f"{where}: {other} is not a reader")
        add(reader.like)
        inherited = readers[reader.like].published_limits if reader.like else {}
        published_limits = inherited | reader.published_limits
        readers[name] = replace(reader, name=name, published_limits=published_limits)

    for name in paths:
        add(name)
    kinds = get_args(_Kind)
    ordered = sorted(
        readers.values(), key=lambda r: (-len(r.routes), kinds.index(r.kind))
    )
    return {reader.name: reader for reader in ordered}


def readers_by_limit(
    kind: str, readers: dict[str, Reader]
) -> list[tuple[int, list[str]]]:
    """Return each limit of a kind, such as "tokens", with the readers that have it."""
    found: dict[int, list[str]] = {}
    for name, reader in readers.items():
        if kind in reader.limits:
            found.setdefault(reader.limits[kind], []).append(name)
    return sorted(found.items())


def reader_at(host: str) -> Reader:
    """Return the provider at a host; an unknown one gets OpenAI's limits."""
    readers = read_readers()
    for reader in readers.values():
        for name in reader.hosts:
            if host == name or (name[0] in ".-" and host.endswith(name)):
                return reader
    return replace(
        readers["openai"], title=host, sources=[], closings=[], instead=[], models={}
    )
