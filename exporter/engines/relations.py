"""What the engines share: relations, their columns and the rows of an export."""

from collections.abc import Mapping
from typing import NamedTuple

from psycopg import sql

from exporter.errors import FinetuneError

# The published columns of training_pairs and their PostgreSQL types.
PAIR_COLUMNS = {
    "pair_id": "text",
    "title": "text",
    "description": "text",
    "split": "text",
    "title_occurrences": "int8",
    "copies": "int8",
    "first_uid": "text",
}

Pair = tuple[str, str, str, str, int, int, str | None]


class Relation(NamedTuple):
    """The full name of a table or view; on Spark there is no database."""

    database: str | None
    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"

    def quoted(self) -> str:
        """Return the name, quoted, as the engine knows it."""
        if self.database is None:
            return f"{in_backticks(self.schema)}.{in_backticks(self.name)}"
        return sql.Identifier(self.schema, self.name).as_string()


def in_backticks(name: str) -> str:
    """Return a name, quoted, as Spark knows it."""
    return "`{}`".format(name.replace("`", "``"))


def require_columns(
    relation: Relation, found: Mapping[str, str], wanted: Mapping[str, str]
) -> None:
    """Compare the types of columns, both by the names that the engine gives them.

    Raises:
        FinetuneError: A wanted column is missing or of another type.
    """
    for name, kind in wanted.items():
        if found.get(name) != kind:
            raise FinetuneError(
                f"{relation}: column {name} is {found.get(name, 'missing')}, but must "
                f"be {kind}; run dbt build"
            )
