"""The examples of a data set: rows of its model become lines of the files."""

from collections.abc import Callable, Generator, Iterable
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
from exporter.engines.relations import Kind, Row
from exporter.errors import FinetuneError
from exporter.files import Draft
from exporter.gate import Snapshot
from exporter.progress import Step, waiting
from exporter.tokens import Counter, Tally


def _json(text: str) -> bytes:
    return on_one_line(text.encode())


# How a value of each kind is written into a line.
_ENCODERS: dict[Kind, Callable[[Any], bytes]] = {
    Kind.TEXT: encoded,
    Kind.WHOLE: orjson.dumps,
    Kind.JSON: _json,
}


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
        self._dialect = dialect
        self._counter = counter
        self._columns = moment.columns(build.examples)
        self._names = [column.name for column in self._columns]
        data_set = build.data_set
        self._key = self._place("id")
        self._user, self._assistant = self._place("user"), self._place("assistant")
        self._split = self._place("split") if data_set.split else None
        self._prompt = self._place("system") if system is SLOT else None
        self._total = 0
        self._counts: dict[str, dict[str, Any]] = {
            split: {"pairs": 0, "characters": 0} for split in ("train", "validation")
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

    def questions(self) -> dict[str, int]:
        """Return how many different user's texts each side of the split has."""
        quoted, data_set = self._moment.quoted, self._build.data_set
        split = quoted(data_set.split) if data_set.split else "'train'"
        relation = quoted(*self._build.examples.path)
        query = (
            "select split, count(*) as titles, cast(sum(pairs) as bigint) as pairs from"
            f" (select {split} as split, {quoted(data_set.user)} as title,"
            f" count(*) as pairs from {relation} group by 1, 2) t group by split"
        )
        with waiting("the server to count the examples"):
            rows = self._moment.query(query)
        self._total = sum(row["pairs"] for row in rows)
        return {row["split"]: row["titles"] for row in rows}

    def rows(self) -> Generator[Row]:
        """Yield the rows in the order of their ids; close it if that ends early."""
        key = self._columns[self._key]
        return self._moment.rows(self._build.examples, self._columns, key)

    def writing(self) -> Step:
        """Return how much of what `questions` counted is written."""
        return Step(
            "writing",
            self._total,
            "pairs",
            done=lambda: sum(count["pairs"] for count in self._counts.values()),
        )

    def write(
        self, rows: Iterable[Row], clean: Draft, train: Draft, valid: Draft
    ) -> dict[str, dict[str, Any]]:
        """Write each row to the clean file and to its side; count both sides.

        Raises:
            FinetuneError: An id is not unique, a text is missing, or the split is
                neither train nor validation.
        """
        sides = {"train": train, "validation": valid}
        counts = self._counts
        tallies = {split: Tally(self._counter) for split in sides if self._counter}
        encoders = [_ENCODERS[column.kind] for column in self._columns]
        clean_line = json_line({n.replace("%", "%%"): SLOT for n in self._names})
        prompt_of_all = None if self._system is SLOT else self._system
        same_line = chat_template(prompt_of_all, self._dialect)
        own_line = chat_template(SLOT, self._dialect)
        in_two = self._dialect == "prompt-completion" and self._system is not None
        # Out of the loop, where every look-up is made for millions of rows.
        key_place, numbered = self._key, self._columns[self._key].kind is Kind.WHOLE
        user, assistant = self._user, self._assistant
        side_place, own = self._split, self._prompt
        last, split, prompt = "", "train", None
        for row in rows:
            key, question, answer = row[key_place], row[user], row[assistant]
            if numbered and key is not None:
                key = str(key)
            if side_place is not None:
                split = row[side_place]
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
            sides[split].write_line(joined(line) if in_two else line)
            count = counts[split]
            count["pairs"] += 1
            count["characters"] += len(question) + len(answer)
            if tallies:
                messages = chat_messages(prompt or self.system_prompt, question, answer)
                tallies[split].add(count["pairs"], messages)
        for split, tally in tallies.items():
            histogram = tally.histogram()
            counts[split]["tokens"] = {**tally.facts(), "histogram": histogram}
        return counts

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
        for name, place in (("user", self._user), ("assistant", self._assistant)):
            if not row[place]:
                column = self._names[place]
                return data_set.wrong(
                    name,
                    f"{column} of {key!r} is empty; filter such rows out in the model",
                )
        return data_set.wrong(
            "split",
            f"{data_set.split} of {key!r} is {row[self._split or 0]!r}, but must be "
            "train or validation",
        )
