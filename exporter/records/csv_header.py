"""The header of CSV: its columns, and how fields stand below it."""

import csv
import re
from typing import NamedTuple

from exporter.progress import say
from exporter.records.rows import Columns, Intake
from exporter.records.source import BLANK, Source

_SEPARATORS = ",;\t|"
_INVISIBLE = " \t\u00a0\u200b\ufeff"
# The csv module takes no longer field.
_MOST_BYTES = 1 << 17


class Header(NamedTuple):
    """The columns, how fields and rows end, and where the rows begin."""

    columns: list[str]
    separator: str
    quote: str
    # Whether a blank stands after each separator.
    spaced: bool
    end: str
    first_line: int


def read_header(source: Source, columns: Columns, intake: Intake) -> Header:
    """Take the header, and what stands before it.

    Raises:
        FinetuneError: It is none, or lacks a column.
    """
    head = source.first_line()
    # Of the blank before the rows only whole lines are dropped.
    blank = len(head) - len(head.lstrip(BLANK))
    start = head.rfind(source.end_of_line, 0, blank) + 1
    number = 1 + head.count(source.end_of_line, 0, start)
    line, end, rest = head[start:].partition(source.end_of_line)
    if re.fullmatch(rb'"?sep=."?\r*', line, re.IGNORECASE):
        start += len(line + end)
        number += 1
        line, end, rest = rest.partition(source.end_of_line)
    if len(line) > _MOST_BYTES:
        raise source.error(
            f"longer than {_MOST_BYTES >> 10} KiB; no header of columns", number
        )
    if b"\0" in line:
        raise source.error("the header holds a NUL", number)
    if fault := source.fault(line):
        raise source.error(fault, number)
    text = line.decode().rstrip("\r\n")
    separator, header = _split(text, columns)
    fault = _fault(text, header, columns)
    if re.match(rb"-+\+[-+]+\s", rest):
        fault = "a table as psql shows it; write it as CSV: psql --csv"
    if fault:
        raise source.error(fault, number)
    source.drop(start + len(line + end))
    intake.other_lines += number
    intake.found = header
    row = source.first_line().partition(source.end_of_line)[0]
    single = text[:1] == "'" or _single_quoted(row, separator, len(header))
    quote = "'" if single else '"'
    if single:
        say(f"{source.name}: the fields stand in single quotes; read as such")
    spaced = separator + " " in text
    row_end = "\r\n" if line.endswith(b"\r") else source.end_of_line.decode()
    return Header(header, separator, quote, spaced, row_end, number + 1)


def _split(text: str, columns: Columns) -> tuple[str, list[str]]:
    """Return the separator that finds most columns, and these; none if in doubt."""
    found, wanted = {}, {*columns.wanted()}
    quote = "'" if text[:1] == "'" else '"'
    others = sorted(filter(str.isascii, {*re.findall(r"[^\w\s'\"]", text)}))
    for separator in dict.fromkeys([*_SEPARATORS, *others]):
        try:
            [fields] = csv.reader(
                [text],
                delimiter=separator,
                quotechar=quote,
                strict=True,
                skipinitialspace=True,
            )
        except (csv.Error, ValueError, TypeError):
            fields = []
        header = [field.strip(_INVISIBLE) for field in fields]
        if separator in _SEPARATORS or wanted <= {*header}:
            found[separator] = header

    def fit(separator: str) -> tuple[int, int]:
        names = found[separator]
        return len({*names} & wanted), len(names)

    best = max(found, key=fit)
    sure = len(found[best]) > 1 or all(found.values())
    return best, found[best] if sure else []


def _fault(text: str, header: list[str], columns: Columns) -> str:
    if not text.strip():
        return "no header below sep="
    if not header:
        return (
            "the header has a quote that is not closed, or text after one that is: "
            f"{text[:80]}"
        )
    if re.match(r"\|.*\|\s*\Z", text):
        return "a table in Markdown; write it as CSV"
    names, wanted = ", ".join(header), columns.wanted()
    for column in wanted:
        if column not in header:
            return (
                f"no column {column}; the file has {names}, wanted are "
                f"{', '.join(wanted)}: name yours with {columns.options(header)}"
            )
        if header.count(column) > 1:
            return f"column {column} is named twice; the file has {names}: rename one"
    return ""


def _single_quoted(row: bytes, separator: str, width: int) -> bool:
    """Say whether the first row has every text in single quotes, two or more."""
    text = row.decode(errors="replace").replace("''", "\0")
    between = re.escape(separator)
    field = r" *(?:\0*'[^']*' *|\0+ *|[\d.+-]+ *)?"
    if not re.fullmatch(rf"(?:{field}{between}){{{width - 1}}}{field}", text):
        return False
    return len(re.findall(rf"(?:^|{between}) *['\0]", text)) > 1
