"""The header of CSV: its columns, and how the rows below it are written."""

import csv
import re
from typing import NamedTuple

from exporter.file_types import SIGNATURE_BYTES, is_binary
from exporter.progress import say
from exporter.records.input_file import BLANK, InputFile
from exporter.records.rows import Columns, LoadStats

_SEPARATORS = ",;\t|"
_INVISIBLE = " \t\u00a0\u200b\ufeff"
# The csv module accepts no longer field.
_MAX_BYTES = 1 << 17
# A header is looked for in this many lines.
_MAX_ABOVE = 20


class Header(NamedTuple):
    """The columns, and the format of the rows."""

    columns: list[str]
    separator: str
    quote: str
    # Whether a blank follows each separator.
    spaced: bool
    row_end: str
    # The number of the line on which the rows begin.
    first_line: int


def read_header(file: InputFile, columns: Columns, stats: LoadStats) -> Header:
    """Read the header, and skip what is above it.

    Raises:
        FinetuneError: It is not a header, or lacks a column.
    """
    head = file.peek_line()
    start = _header_start(head, file.end_of_line)
    number = 1 + head.count(file.end_of_line, 0, start)
    line, end, rest = head[start:].partition(file.end_of_line)
    if len(line) > _MAX_BYTES:
        raise file.error(
            f"longer than {_MAX_BYTES >> 10} KiB; not a header of columns", number
        )
    text = line.decode(errors="replace").rstrip("\r\n")
    separator, names = _split(text, columns)
    fault = file.text_fault(line) or _header_fault(text, names, columns)
    if re.match(rb"-+\+[-+]+\s", rest):
        fault = "a table as psql shows it; write it as CSV: psql --csv"
    if fault and is_binary(head[:SIGNATURE_BYTES]):
        raise file.error("binary, not text; write its rows as CSV or JSON Lines")
    if fault:
        lower = _find_lower_header(rest, columns, names)
        if lower and file.end_of_line == b"\n":
            skip = file.convert(f"tail -n +{number + lower}")
            fault = f"the header is in line {number + lower}; {skip}"
        raise file.error(fault, number)
    file.skip(start + len(line + end))
    stats.skipped_lines += number
    unused = [name for name in names if name not in columns]
    stats.notes.append(
        f"{file.name}: columns {', '.join(columns.names())} loaded"
        + (f"; skipped: {', '.join(unused)}" if unused else "")
    )
    row = file.peek_line().partition(file.end_of_line)[0]
    single = text[:1] == "'" or _is_single_quoted(row, separator, len(names))
    if single:
        say(f"{file.name}: the fields are quoted with single quotes")
    return Header(
        names,
        separator,
        quote="'" if single else '"',
        spaced=separator + " " in text,
        row_end="\r\n" if line.endswith(b"\r") else file.end_of_line.decode(),
        first_line=number + 1,
    )


def _header_start(head: bytes, end_of_line: bytes) -> int:
    """Return where the header begins, below blank lines and a `sep=` line."""
    # Blanks at the start of the header's own line belong to it.
    blank = len(head) - len(head.lstrip(BLANK))
    start = head.rfind(end_of_line, 0, blank) + 1
    line, end, _ = head[start:].partition(end_of_line)
    is_sep = re.fullmatch(rb'"?sep=."?\r*', line, re.IGNORECASE)
    return start + len(line + end) if is_sep else start


def _find_lower_header(rest: bytes, columns: Columns, first: list[str]) -> int:
    """Return which of the next lines names all columns, counted from 1; 0: none.

    One as wide as the first line is no header of the file, because rows are above it,
    unless the first line is a title that a spreadsheet padded to this width.
    """
    is_title = len([*filter(None, first)]) == 1
    wanted = {*columns.names()}
    for count, line in enumerate(rest.split(b"\n", _MAX_ABOVE)[:-1], 1):
        text = line[:_MAX_BYTES].decode(errors="replace").rstrip("\r")
        names = _split(text, columns)[1]
        if wanted <= {*names} and (is_title or len(names) != len(first)):
            return count
    return 0


def _split(text: str, columns: Columns) -> tuple[str, list[str]]:
    """Return the most likely separator of a header, and the names between.

    No names mean that the header cannot be split with confidence.
    """
    found, wanted = {}, {*columns.names()}
    quote = "'" if text[:1] == "'" else '"'
    others = sorted(filter(str.isascii, {*re.findall(r"[^\w '\"]", text)}))
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
        names = [field.strip(_INVISIBLE) for field in fields]
        if separator in _SEPARATORS or wanted <= {*names}:
            found[separator] = names

    def score(separator: str) -> tuple[int, int]:
        names = found[separator]
        return len({*names} & wanted), len(names)

    best = max(found, key=score)
    confident = len(found[best]) > 1 or all(found.values())
    return best, found[best] if confident else []


def _header_fault(text: str, names: list[str], columns: Columns) -> str:
    """Return why a text is no usable header, or ""."""
    if not text.strip():
        return "no header below sep="
    if not names:
        return (
            "the header has a quote that is not closed in its line, or text after "
            f"one that is: {text[:80]}"
        )
    if re.match(r"\|.*\|\s*\Z", text):
        return "a table in Markdown; write it as CSV"
    found, wanted = ", ".join(names), columns.names()
    for column in wanted:
        if column not in names:
            return (
                f"no column {column}; the file has {found}, but load needs "
                f"{', '.join(wanted)}: name yours with {columns.missing_options(names)}"
            )
        if names.count(column) > 1:
            return f"column {column} appears twice; the file has {found}: rename one"
    return ""


def _is_single_quoted(row: bytes, separator: str, width: int) -> bool:
    """Return whether all texts of a row are in single quotes, and at least two are."""
    text = row.decode(errors="replace").replace("''", "\0")
    between = re.escape(separator)
    field = r" *(?:\0*'[^']*' *|\0+ *|[\d.+-]+ *)?"
    if not re.fullmatch(rf"(?:{field}{between}){{{width - 1}}}{field}", text):
        return False
    return len(re.findall(rf"(?:^|{between}) *['\0]", text)) > 1
