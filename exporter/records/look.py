"""What a file is, by its first bytes; what is no list of rows gets its remedy."""

import codecs
import csv
import re
import shlex
from collections import Counter
from enum import Enum
from typing import NamedTuple, NoReturn

from exporter.errors import FinetuneError
from exporter.records import exact_json
from exporter.records.rows import MAX_LINE_BYTES, Columns, Intake
from exporter.records.source import BLANK, HEAD_BYTES, Source

# First bytes of what is no text (gzip is unpacked before), and the way to rows.
_MAGIC: list[tuple[bytes, str, str]] = [
    (
        b"PAR1",
        "a Parquet file",
        (
            'pip install duckdb; python3 -c "import duckdb, sys; f = sys.argv[1]; '
            "duckdb.read_parquet(f).write_csv(f + '.csv')\" {0}"
        ),
    ),
    (b"ARROW1", "an Arrow file", "write it as CSV or JSON Lines"),
    (b"Obj\x01", "an Avro file", "write it as CSV or JSON Lines"),
    (b"ORC", "an ORC file", "write it as CSV or JSON Lines"),
    (b"BZh", "compressed by bzip2", "bzip2 -dc {0} | finetune load -"),
    (b"\xfd7zXZ", "compressed by xz", "xz -dc {0} | finetune load -"),
    (b"\x28\xb5\x2f\xfd", "compressed by zstd", "zstd -dc {0} | finetune load -"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", "7z x {0}"),
    (b"\xd0\xcf\x11\xe0", "an old Excel file", "save it as CSV UTF-8"),
    (b"SQLite format 3\0", "a SQLite database", "write its table as CSV"),
    (b"%PDF", "a PDF file", "load a CSV or JSON Lines file"),
    (b"PGDMP", "a dump of PostgreSQL", "pg_restore -d DATABASE {0}"),
    (b"--\n-- PostgreSQL database", "a dump of PostgreSQL", "psql -f {0}"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file", "git lfs pull"),
    (codecs.BOM_UTF32_LE, "UTF-32", "iconv -f UTF-32 -t UTF-8 {0} > NEW"),
    (codecs.BOM_UTF32_BE, "UTF-32", "iconv -f UTF-32 -t UTF-8 {0} > NEW"),
]
_PAGE = re.compile(
    rb"<(!doctype|html|head|body|\?xml|rss|feed|urlset)\b", re.IGNORECASE
)
_WRAPPER = re.compile(rb'"((?:[^"\\]|\\.)+)"\s*:\s*\[\s*\{')
_SEPARATORS = (",", ";", "\t", "|")
# A field of CSV may be as long as a line.
csv.field_size_limit(MAX_LINE_BYTES)
_JSON_NAME = re.compile(r"\.(jsonl?|ndjson)(\.gz)?$", re.IGNORECASE)


class Kind(Enum):
    """How rows stand in a file."""

    LINES = "JSON Lines"
    ARRAY = "a JSON array"
    CSV = "CSV"


class Look(NamedTuple):
    """What the beginning of a file says; the last five are of CSV alone."""

    kind: Kind
    first_line: int
    header: tuple[str, ...] = ()
    separator: str = ","
    quote: str = '"'
    spaced: bool = False
    end: str = "\n"


def look(source: Source, columns: Columns, intake: Intake) -> Look:
    """Say what a file is, and take what stands before its rows.

    Raises:
        FinetuneError: It is not what can be read, or lacks a column.
    """
    head = source.head()
    _refuse_other_formats(source, head)
    end_of_line = re.search(rb"\r\n|\n|\r(?=.)", head, re.DOTALL)
    if end_of_line and end_of_line[0] == b"\r":
        source.end_of_line = b"\r"
    start = len(head) - len(head.lstrip(BLANK))
    if start == len(head):
        most = f"blank for {MAX_LINE_BYTES >> 20} MiB"
        what = most if start > MAX_LINE_BYTES else "empty"
        raise FinetuneError(f"{source.name}: the file is {what}")
    number = 1 + head.count(source.end_of_line, 0, start)
    text = head[start:]
    if text[:1] == b"[" and not re.match(rb"\[\s*[^\s\[{\]]", text):
        source.drop(start)
        return Look(Kind.ARRAY, number)
    later = source.end_of_line + b"{"
    if text[:1] == b"{" or (_JSON_NAME.search(source.name) and later in text):
        if text[:1] == b"{":
            _refuse_one_document(source, text, columns)
        return Look(Kind.LINES, 1)
    # Of the blank before the rows only whole lines are dropped.
    start = head.rfind(source.end_of_line, 0, start) + 1
    source.drop(start)
    intake.other_lines += number - 1
    return _look_at_csv(source, head[start:], number, columns, intake)


def _refuse_other_formats(source: Source, head: bytes) -> None:
    path = shlex.quote(source.name) if source.name != "standard input" else "FILE"
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            raise FinetuneError(f"{source.name}: {what}; {remedy.format(path)}")
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        if b"xl/" in head or b"[Content_Types]" in head[:100]:
            what, remedy = "an Excel file", "save it as CSV UTF-8"
        else:
            what, remedy = "a zip archive", f"unzip {path}"
        raise FinetuneError(f"{source.name}: {what}; {remedy}")
    if head[257:262] == b"ustar":
        raise FinetuneError(f"{source.name}: a tar archive; tar -xf {path}")
    if _PAGE.match(head.lstrip()):
        raise FinetuneError(
            f"{source.name}: an HTML or XML page, not rows; download the file itself"
        )
    start = head[:100]
    for order, first in (("LE", 1), ("BE", 0)):
        if len(start) > 3 and start[first::2].count(0) * 3 > len(start):
            raise FinetuneError(
                f"{source.name}: UTF-16 without a byte order mark; "
                f"iconv -f UTF-16{order} -t UTF-8 {path} > NEW"
            )


def _refuse_one_document(source: Source, text: bytes, columns: Columns) -> None:
    """Refuse one JSON value over many lines, or rows below a key of it."""
    path = shlex.quote(source.name) if source.name != "standard input" else "FILE"
    line, ended, rest = text.partition(source.end_of_line)
    wanted = [column.encode() for column in columns.wanted()]
    try:
        value, end = exact_json.first(text.decode(errors="replace"))
        whole = end <= len(line.decode(errors="replace"))
    except (ValueError, RecursionError):
        # Broken, or longer than the head; what was not seen is no fault of it.
        value, goes_on = None, line.rstrip().endswith((b"{", b"[", b","))
        followed = len(text) < HEAD_BYTES or rest.startswith(b"{")
        whole = not ended or (followed and not goes_on)
    keys = {key for key, _ in value} if isinstance(value, exact_json.Object) else set()
    if keys & set(columns.wanted()):
        if whole:
            return
        raise FinetuneError(
            f"{source.name}: an object over several lines; jq -c . {path} > NEW"
        )
    steps = exact_json.path_to_objects(value)
    if steps:
        raise FinetuneError(
            f"{source.name}: the rows stand under the key {steps}; "
            f"jq -c '{steps}[]' {path} > NEW"
        )
    wrapper = _WRAPPER.search(text, 0, HEAD_BYTES)
    before = text[: wrapper.start()] if wrapper else text
    if value is None and wrapper and not any(b'"%b"' % c in before for c in wanted):
        raise FinetuneError(
            f"{source.name}: the rows stand under a key, perhaps "
            f"{wrapper[1].decode(errors='replace')}; "
            f"jq -c '.. | objects | select(has(\"{columns.title}\"))' {path} > NEW"
        )
    if not whole:
        raise FinetuneError(
            f"{source.name}: an object over several lines; jq -c . {path} > NEW"
        )


def _look_at_csv(
    source: Source, head: bytes, number: int, columns: Columns, intake: Intake
) -> Look:
    separators: tuple[str, ...] = _SEPARATORS
    line, end, rest = head.partition(source.end_of_line)
    told = re.fullmatch(rb'"?sep=(.)"?\r?', line, re.IGNORECASE)
    if told:
        separators = (told[1].decode(errors="replace"),)
        source.drop(len(line + end))
        intake.other_lines += 1
        number += 1
        line, end, rest = rest.partition(source.end_of_line)
    try:
        text = line.decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise FinetuneError(
            f"{source.name}:{number}: {not_utf8(source.name, error)}"
        ) from error
    if "\0" in text:
        raise FinetuneError(f"{source.name}:{number}: the header holds a NUL")
    headers = {separator: _header(text, separator) for separator in separators}
    separator = max(
        separators,
        key=lambda s: (len({*headers[s]} & {*columns.wanted()}), len(headers[s])),
    )
    header = headers[separator]
    if not header or (len(header) == 1 and not all(headers.values())):
        raise FinetuneError(
            f"{source.name}:{number}: the header has a quote that is not closed, or "
            f"text after one that is: {text[:80]}"
        )
    if separator == "|" and not header[0] and not header[-1]:
        raise FinetuneError(f"{source.name}: a table in Markdown; write it as CSV")
    for column in columns.wanted():
        if column not in header:
            _refuse_header(source, number, header, columns, column)
        if Counter(header)[column] > 1:
            raise FinetuneError(
                f"{source.name}:{number}: column {column} is named twice; the file has "
                f"{', '.join(header)}: rename one"
            )
    source.drop(len(line + end))
    intake.other_lines += 1
    intake.found = header
    row = source.first_line().partition(source.end_of_line)[0]
    quote = "'" if _single_quoted(row, separator, header) else '"'
    if quote == "'":
        intake.note(f"{source.name}: the fields stand in single quotes; read as such")
    spaced = separator + " " in text
    row_end = "\r\n" if line.endswith(b"\r") else source.end_of_line.decode()
    return Look(Kind.CSV, number + 1, tuple(header), separator, quote, spaced, row_end)


def _header(text: str, separator: str) -> list[str]:
    try:
        [fields] = csv.reader(
            [text], delimiter=separator, strict=True, skipinitialspace=True
        )
    except (csv.Error, ValueError, TypeError):
        return []
    return [field.strip() for field in fields]


def _refuse_header(
    source: Source, number: int, header: list[str], columns: Columns, column: str
) -> NoReturn:
    raise FinetuneError(
        f"{source.name}:{number}: no column {column}; the file has "
        f"{', '.join(header)}, wanted are {', '.join(columns.wanted())}: name yours "
        f"with {columns.options(header)}"
    )


def _single_quoted(row: bytes, separator: str, header: list[str]) -> bool:
    """Say whether the first row has every text in single quotes."""
    text = row.decode(errors="replace").strip()
    if "'" not in text:
        return False
    try:
        [double] = csv.reader([text], delimiter=separator, strict=True)
        [single] = csv.reader([text], delimiter=separator, strict=True, quotechar="'")
    except (csv.Error, ValueError):
        return False
    quoted = [f for f in double if f[:1] == "'"]
    if len(re.findall(rf"(?:^|{re.escape(separator)})\s*'", text)) < len(quoted):
        return False  # They stand within double quotes.
    plain = [f for f in double if f and not re.search(r"[^\d.,+-]", f)]
    if len(single) == len(header) and len(quoted) > 1:
        ends = [f for f in double if f[-1:] == "'"]
        return len(ends) == len(quoted) and len(plain) + len(quoted) >= len(single)
    return False


def not_utf8(name: str, error: UnicodeDecodeError) -> str:
    """Say where a text is not UTF-8, and what it may be."""
    path = shlex.quote(name) if name != "standard input" else "FILE"
    return (
        f"not UTF-8: {error.reason} at byte {error.start}; for Windows text: "
        f"iconv -f CP1252 -t UTF-8 {path} > NEW"
    )
