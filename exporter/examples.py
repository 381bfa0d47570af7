"""The examples of a data set: rows of its model become lines of the files."""

from collections.abc import Callable, Iterable
from contextlib import closing
from typing import Any

import orjson

from exporter.artifacts import Build
from exporter.chat import (
    SLOT,
    Prompt,
    chat_messages,
    encoded,
    escape_line_ends,
    fill,
    json_line,
    line_template,
)
from exporter.dataset import COLUMN_KEYS
from exporter.engines.relations import Kind, Row, Snapshot
from exporter.errors import FinetuneError
from exporter.files import Draft
from exporter.progress import Step, step, waiting
from exporter.tokens import Counter, Tally

# How a value of each kind is written into a line.
_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.TEXT: encoded,
    Kind.INTEGER: orjson.dumps,
    Kind.JSON: lambda text: escape_line_ends(text.encode()),
}


class _Split:
    """The file of a split and the counts of what is written to it."""

    def __init__(self, draft: Draft, counter: Counter | None, titles: int) -> None:
        self.draft, self.titles = draft, titles
        self.tally = Tally(counter) if counter else None
        self.pairs = self.characters = 0

    def facts(self) -> dict[str, Any]:
        """Return the entry of the split in the manifest."""
        facts: dict[str, Any] = {
            "titles": self.titles,
            "pairs": self.pairs,
            "characters": self.characters,
        }
        if self.tally:
            histogram = self.tally.histogram()
            facts["tokens"] = {**self.tally.facts(), "histogram": histogram}
        return facts


class Examples:
    """The rows of a data set in a snapshot, and how they are written.

    Raises:
        FinetuneError: A column that the data set names is missing or not text.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        build: Build,
        *,
        system: Prompt,
        counter: Counter | None,
        dialect: str = "messages",
    ) -> None:
        self._snapshot, self._build, self._system = snapshot, build, system
        self._dialect, self._counter = dialect, counter
        self._columns = snapshot.columns(build.examples)
        self._names = [column.name for column in self._columns]
        self._indexes = {
            key: self._index(key)
            for key in COLUMN_KEYS
            if (system is SLOT if key == "system" else getattr(build.data_set, key))
        }

    @property
    def system_prompt(self) -> str | None:
        """Return the system prompt of all examples, if there is one."""
        return self._system if isinstance(self._system, str) else None

    def _index(self, key: str) -> int:
        """Return the index of the column that a key of the data set names."""
        data_set, name = self._build.data_set, getattr(self._build.data_set, key)
        if name not in self._names:
            raise data_set.error(
                key,
                f"{self._build.examples} has no column {name}; it has "
                f"{', '.join(self._names)}",
            )
        index = self._names.index(name)
        kind = self._columns[index].kind
        if kind is not Kind.TEXT and not (key == "id" and kind is Kind.INTEGER):
            raise data_set.error(
                key,
                f"column {name} of {self._build.examples} is not text; cast it to "
                "text in the model",
            )
        return index

    def count(self) -> dict[str, dict[str, int]]:
        """Return the number of titles and pairs of each split."""
        quoted, data_set = self._snapshot.quoted, self._build.data_set
        split = quoted(data_set.split) if data_set.split else "'train'"
        relation = quoted(*self._build.examples.path)
        query = (
            "select split, count(*) as titles, cast(sum(pairs) as bigint) as pairs from"
            f" (select {split} as split, {quoted(data_set.user)} as title,"
            f" count(*) as pairs from {relation} group by 1, 2) t group by split"
        )
        with waiting("the server to count the examples"):
            return {row.pop("split"): row for row in self._snapshot.query(query)}

    def write(
        self,
        expected: dict[str, dict[str, int]],
        clean: Draft,
        train: Draft,
        valid: Draft,
    ) -> dict[str, dict[str, Any]]:
        """Write each row to the clean file and to the file of its split.

        `expected` is the result of `count`. Returns the manifest's entry of each split.

        Raises:
            FinetuneError: An id is not unique, a text is missing, or the split is
                neither train nor validation.
        """
        splits = {
            name: _Split(draft, self._counter, expected.get(name, {}).get("titles", 0))
            for name, draft in (("train", train), ("validation", valid))
        }
        work = Step(
            "writing",
            sum(counts["pairs"] for counts in expected.values()),
            "pairs",
            done=lambda: sum(split.pairs for split in splits.values()),
        )
        key = self._columns[self._indexes["id"]]
        rows = self._snapshot.rows(self._build.examples, self._columns, key)
        # After an error, a generator that is not closed waits for its connection.
        with closing(rows), step(work):
            self._write(rows, clean, splits)
        return {name: split.facts() for name, split in splits.items()}

    def _write(
        self, rows: Iterable[Row], clean: Draft, splits: dict[str, _Split]
    ) -> None:
        encoders = [_ENCODERS[column.kind] for column in self._columns]
        clean_template = json_line({n.replace("%", "%%"): SLOT for n in self._names})
        template = line_template(self.system_prompt, self._dialect)
        template_with_system = line_template(SLOT, self._dialect)
        # Looked up here and not in the loop, which runs for millions of rows.
        id_, user, assistant = (
            self._indexes[key] for key in ("id", "user", "assistant")
        )
        split_, system = self._indexes.get("split"), self._indexes.get("system")
        id_is_number = self._columns[id_].kind is Kind.INTEGER
        last, name, prompt = "", "train", None
        for row in rows:
            key, question, answer = row[id_], row[user], row[assistant]
            if id_is_number and key is not None:
                key = str(key)
            if split_ is not None:
                name = row[split_]
            if not (key and key > last and question and answer and name in splits):
                raise self._error(key, last, row)
            last = key
            cells = [
                b"null" if value is None else encode(value)
                for encode, value in zip(encoders, row)  # noqa: B905 (a tenth)
            ]
            clean.write_line(clean_template % (*cells,))
            if system is not None and (prompt := row[system]):
                line = fill(
                    template_with_system, cells[system], cells[user], cells[assistant]
                )
            else:
                line = fill(template, cells[user], cells[assistant])
            split = splits[name]
            split.draft.write_line(line)
            split.pairs += 1
            split.characters += len(question) + len(answer)
            if split.tally:
                messages = chat_messages(prompt or self.system_prompt, question, answer)
                split.tally.add(split.pairs, messages)

    def _error(self, key: str | None, last: str, row: Row) -> FinetuneError:
        """Return the error of a row that cannot be an example."""
        data_set = self._build.data_set
        if not key:
            return data_set.error(
                "id", f"a row has no {data_set.id}; add the test not_null"
            )
        if key == last:
            return data_set.error(
                "id", f"{key!r} is the id of two rows; add the test unique"
            )
        if key < last:
            return FinetuneError(
                f"{self._build.examples}: {key} came after {last}: the server does not "
                "keep the order of a query; for Sail see docs/spark.md"
            )
        for name in ("user", "assistant"):
            index = self._indexes[name]
            if not row[index]:
                column = self._names[index]
                return data_set.error(
                    name,
                    f"{column} of {key!r} is empty; filter such rows out in the model",
                )
        return data_set.error(
            "split",
            f"{data_set.split} of {key!r} is {row[self._indexes['split']]!r}, but must "
            "be train or validation",
        )
