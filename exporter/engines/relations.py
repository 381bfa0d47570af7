"""What the engines share: relations, columns, rows and snapshots."""

from collections.abc import Generator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from exporter.errors import FinetuneError


class Relation(NamedTuple):
    """The full name of a table or view; Spark has no databases."""

    database: str | None
    schema: str
    name: str

    @property
    def path(self) -> tuple[str, str]:
        """Return its name within the database, as schema and name."""
        return self.schema, self.name

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class RawTable(NamedTuple):
    """The raw table and its id, title and content columns."""

    schema: str
    name: str
    columns: tuple[str, str, str]

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class Kind(Enum):
    """The kind of value that an engine returns for a column."""

    TEXT = "text"
    INTEGER = "integer"
    JSON = "JSON"


class Column(NamedTuple):
    """A column, the kind of its values, and the SQL that converts them to it."""

    name: str
    kind: Kind
    expression: str


# A text, a whole number, JSON as text, or null for each column.
Row = Sequence[Any]


class Snapshot(Protocol):
    """The relations as they were at one moment, on any engine.

    Its methods raise a FinetuneError if the server refuses a query, or values of a
    column cannot be written as JSON.
    """

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""

    def quoted(self, *names: str) -> str:
        """Return a name of one or more parts, quoted for a query."""

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation, in their order."""

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        """Yield the rows in the order of a key; a caller that stops early closes it."""

    def metadata(self) -> dict[str, str]:
        """Return the manifest's `snapshot`, `snapshot_at` and `server_version`."""


def column(
    relation: Relation,
    name: str,
    quoted: str,
    type_: str,
    types: Mapping[str, tuple[Kind, str]],
) -> Column:
    """Return a column; `types` has the kind and the SQL of each type, {} its name.

    Raises:
        FinetuneError: `types` has no such type.
    """
    if type_ not in types:
        raise FinetuneError(
            f"{relation}: column {name} is of type {type_}, which cannot be "
            "written as JSON; cast it to text in the model, or leave it out"
        )
    kind, expression = types[type_]
    return Column(name, kind, expression.replace("{}", quoted))
