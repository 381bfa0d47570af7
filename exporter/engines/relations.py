"""What the engines share: relations, columns, rows, and the snapshot of them."""

from collections.abc import Generator, Mapping, Sequence
from enum import Enum
from typing import Any, NamedTuple, Protocol

from exporter.errors import FinetuneError


class Relation(NamedTuple):
    """The full name of a table or view; on Spark there is no database."""

    database: str | None
    schema: str
    name: str

    @property
    def path(self) -> tuple[str, str]:
        """Return its name within the database that is connected to."""
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
    """The form in which an engine hands out the values of a column."""

    TEXT = "text"
    WHOLE = "whole number"
    JSON = "JSON"


class Column(NamedTuple):
    """A column, the form of its values, and the SQL that gives them that form."""

    name: str
    kind: Kind
    expression: str


# A row holds a text, a whole number, JSON as text, or null for each column.
Row = Sequence[Any]


class Snapshot(Protocol):
    """The relations as they were at one moment, whatever the engine.

    Its methods raise a FinetuneError if the server refuses a query, or a column is of
    a type that no file can hold.
    """

    def query(self, statement: str) -> list[dict[str, Any]]:
        """Return the rows of a query as dictionaries."""

    def quoted(self, *names: str) -> str:
        """Return a name of one or more parts as it stands in a query."""

    def columns(self, relation: Relation) -> list[Column]:
        """Return the columns of a relation in their order."""

    def rows(
        self, relation: Relation, columns: Sequence[Column], key: Column
    ) -> Generator[Row]:
        """Yield the rows in the order of a key; close it if that ends early."""

    def facts(self) -> dict[str, str]:
        """Return what names the moment."""


def column(
    relation: Relation,
    name: str,
    quoted: str,
    type_: str,
    forms: Mapping[str, tuple[Kind, str]],
) -> Column:
    """Return the column in the form for its type; in a form {} is its quoted name.

    Raises:
        FinetuneError: Values of the type have no form.
    """
    if type_ not in forms:
        raise FinetuneError(
            f"{relation}: column {name} is of type {type_}, which cannot be "
            "written as JSON; cast it to text in the model, or leave it out"
        )
    kind, form = forms[type_]
    return Column(name, kind, form.replace("{}", quoted))
