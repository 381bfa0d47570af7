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
    chat_template,
    encoded,
    joined,
    json_line,
    on_one_line,
)
from exporter.dataset import ROLES
from exporter.engines.relations import Kind, Row, Snapshot
from exporter.errors import FinetuneError
from exporter.files import Draft
from exporter.progress import Step, step, waiting
from exporter.tokens import Counter, Tally


def _json(text: str) -> bytes:
    return on_one_line(text.encode())


# How a value of each kind is written into a line.
_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.TEXT: encoded,
    Kind.WHOLE: orjson.dumps,
    Kind.JSON: _json,
}


class _Side:
    """A file of the split, and what is in it so far."""

    def __init__(self, draft: Draft, counter: Counter | None, titles: int) -> None:
        self.draft, self.titles = draft, titles
        self.tally = Tally(counter) if counter else None
        self.pairs = self.characters = 0

    def facts(self) -> dict[str, Any]:
        """Return what the manifest says of it."""
        found = {
            name: getattr(self, name) for name in ("titles", "pairs", "characters")
        }
        if self.tally is None:
            return found
        histogram = self.tally.histogram()
        return {**found, "tokens": {**self.tally.facts(), "histogram": histogram}}


class Examples:
    """The rows of a data set in a snapshot, and how they are written.

    Raises:
        FinetuneError: A column that the data set names is missing or is no text.
    """

    def __init__(
        self,
        moment: Snapshot,
        build: Build,
        *,
        system: Prompt,
        counter: Counter | None,
        dialect: str = "messages",
    ) -> None:
        self._moment, self._build, self._system = moment, build, system
        self._dialect, self._counter = dialect, counter
        self._columns = moment.columns(build.examples)
        self._names = [column.name for column in self._columns]
        self._places = {
            key: self._place(key)
            for key in ROLES
            if (system is SLOT if key == "system" else getattr(build.data_set, key))
        }

    @property
    def system_prompt(self) -> str | None:
        """Return the prompt of all examples, if there is one."""
        return self._system if isinstance(self._system, str) else None

    def _place(self, key: str) -> int:
        """Return the place of the column that a key of the data set names."""
        data_set, name = self._build.data_set, getattr(self._build.data_set, key)
        if name not in self._names:
            raise data_set.wrong(
                key,
                f"{self._build.examples} has no column {name}; it has "
                f"{', '.join(self._names)}",
            )
        place = self._names.index(name)
        kind = self._columns[place].kind
        if kind is not Kind.TEXT and not (key == "id" and kind is Kind.WHOLE):
            raise data_set.wrong(
                key,
                f"column {name} of {self._build.examples} is not text; cast it to "
                "text in the model",
            )
        return place

    def count(self) -> dict[str, dict[str, int]]:
        """Return the titles and pairs of each side of the split, as the server says."""
        quoted, data_set = self._moment.quoted, self._build.data_set
        split = quoted(data_set.split) if data_set.split else "'train'"
        relation = quoted(*self._build.examples.path)
        query = (
            "select split, count(*) as titles, cast(sum(pairs) as bigint) as pairs from"
            f" (select {split} as split, {quoted(data_set.user)} as title,"
            f" count(*) as pairs from {relation} group by 1, 2) t group by split"
        )
        with waiting("the server to count the examples"):
            return {row.pop("split"): row for row in self._moment.query(query)}

    def write(
        self,
        expected: dict[str, dict[str, int]],
        clean: Draft,
        train: Draft,
        valid: Draft,
    ) -> dict[str, dict[str, Any]]:
        """Write each row to the clean file and to its side; count both sides.

        `expected` is what `count` found.

        Raises:
            FinetuneError: An id is not unique, a text is missing, or the split is
                neither train nor validation.
        """
        sides = {
            split: _Side(draft, self._counter, expected.get(split, {}).get("titles", 0))
            for split, draft in (("train", train), ("validation", valid))
        }
        work = Step(
            "writing",
            sum(side["pairs"] for side in expected.values()),
            "pairs",
            done=lambda: sum(side.pairs for side in sides.values()),
        )
        key = self._columns[self._places["id"]]
        rows = self._moment.rows(self._build.examples, self._columns, key)
        # Left open by an error, it would wait for its connection for ever.
        with closing(rows), step(work):
            self._write(rows, clean, sides)
        return {split: side.facts() for split, side in sides.items()}

    def _write(
        self, rows: Iterable[Row], clean: Draft, sides: dict[str, _Side]
    ) -> None:
        encoders = [_ENCODERS[column.kind] for column in self._columns]
        clean_line = json_line({n.replace("%", "%%"): SLOT for n in self._names})
        same_line = chat_template(self.system_prompt, self._dialect)
        own_line = chat_template(SLOT, self._dialect)
        in_two = self._dialect == "prompt-completion" and self._system is not None
        # Out of the loop, where every look-up is made for millions of rows.
        id_, user, assistant = (
            self._places[key] for key in ("id", "user", "assistant")
        )
        split_, own = self._places.get("split"), self._places.get("system")
        numbered = self._columns[id_].kind is Kind.WHOLE
        last, split, prompt = "", "train", None
        for row in rows:
            key, question, answer = row[id_], row[user], row[assistant]
            if numbered and key is not None:
                key = str(key)
            if split_ is not None:
                split = row[split_]
            if not (key and key > last and question and answer and split in sides):
                raise self._fault(key, last, row)
            last = key
            cells = [
                b"null" if value is None else encode(value)
                for encode, value in zip(encoders, row)  # noqa: B905 (a tenth)
            ]
            clean.write_line(clean_line % (*cells,))
            if own is not None and (prompt := row[own]):
                line = own_line % (cells[own], cells[user], cells[assistant])
            else:
                line = same_line % (cells[user], cells[assistant])
            side = sides[split]
            side.draft.write_line(joined(line) if in_two else line)
            side.pairs += 1
            side.characters += len(question) + len(answer)
            if side.tally:
                messages = chat_messages(prompt or self.system_prompt, question, answer)
                side.tally.add(side.pairs, messages)

    def _fault(self, key: str | None, last: str, row: Row) -> FinetuneError:
        """Return what is wrong with a row that cannot be an example."""
        data_set = self._build.data_set
        if not key:
            return data_set.wrong(
                "id", f"a row has no {data_set.id}; add the test not_null"
            )
        if key == last:
            return data_set.wrong(
                "id", f"{key!r} is the id of two rows; add the test unique"
            )
        if key < last:
            return FinetuneError(
                f"{self._build.examples}: {key} came after {last}: the server does not "
                "keep the order of a query; for Sail see docs/spark.md"
            )
        for name in ("user", "assistant"):
            place = self._places[name]
            if not row[place]:
                column = self._names[place]
                return data_set.wrong(
                    name,
                    f"{column} of {key!r} is empty; filter such rows out in the model",
                )
        return data_set.wrong(
            "split",
            f"{data_set.split} of {key!r} is {row[self._places['split']]!r}, but must "
            "be train or validation",
        )
