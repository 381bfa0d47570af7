"""The alternatives to the exporter: each function does one job in one process.

`both_…` writes the two files of the export, byte for byte, flushed to the disk and
hashed; `one_…` writes only train.jsonl, neither flushed nor hashed.
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

COLUMNS = (
    "pair_id",
    "title",
    "description",
    "split",
    "title_occurrences",
    "copies",
    "first_uid",
)
ORDER = "from finetune.training_pairs order by pair_id"
QUERY = f"select {', '.join(COLUMNS)} {ORDER}"
TEXTS = f"select title, description {ORDER}"

# Escaped, because some readers treat these three as line ends.
ENDS = {"\u0085": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def dumped(value: object) -> str:
    """Return a value as JSON, as usual except for the three escapes."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in ENDS.items():
        text = text.replace(character, escape)
    return text


def chat(system: str, title: str, description: str) -> dict[str, Any]:
    """Return a chat example."""
    roles = [("system", system), ("user", title), ("assistant", description)]
    return {"messages": [{"role": role, "content": text} for role, text in roles]}


def prompt() -> str:
    """Return the system prompt of the project."""
    return os.environ["BENCH_PROMPT"]


def finish(*paths: Path) -> None:
    """Flush the files to the disk and hash them."""
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        print(sha256, path.name, sep="  ")


def write_both(train: Path, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write both files from rows."""
    clean, system = train.with_name("clean.jsonl"), prompt()
    with clean.open("w") as pairs, train.open("w") as chats:
        for row in rows:
            pairs.write(dumped(dict(zip(COLUMNS, row, strict=True))) + "\n")
            chats.write(dumped(chat(system, row[1], row[2])) + "\n")
    finish(clean, train)


def both_adbc(train: Path) -> None:
    """Read record batches with ADBC and pyarrow; write with json."""
    write_both(
        train,
        (
            row
            for batch in batches(QUERY)
            for row in zip(*(c.to_pylist() for c in batch.columns), strict=True)
        ),
    )


def batches(query: str) -> Iterator[Any]:
    """Yield the record batches of a query, some megabytes each."""
    dbapi: Any = import_module("adbc_driver_postgresql.dbapi")
    with dbapi.connect(uri()) as connection, connection.cursor() as cursor:
        cursor.execute(query)
        yield from cursor.fetch_record_batch()


def both_polars(train: Path) -> None:
    """Read record batches with ADBC; polars makes the lines, batch by batch."""
    polars: Any = import_module("polars")
    messages = polars.concat_list(
        polars.struct(role=polars.lit(role), content=content)
        for role, content in [
            ("system", polars.lit(prompt())),
            ("user", polars.col("title")),
            ("assistant", polars.col("description")),
        ]
    )
    clean = train.with_name("clean.jsonl")
    with clean.open("w") as pairs, train.open("w") as chats:
        for batch in batches(QUERY):
            frame = polars.from_arrow(batch)
            for file, lines in (pairs, frame), (chats, frame.select(messages=messages)):
                text = lines.write_ndjson()
                for character, escape in ENDS.items():
                    text = text.replace(character, escape)
                file.write(text)
    finish(clean, train)


def both_duckdb(train: Path) -> None:
    """Stream record batches into DuckDB, which builds and writes the lines."""
    duckdb: Any = import_module("duckdb")
    dbapi: Any = import_module("adbc_driver_postgresql.dbapi")
    clean = train.with_name("clean.jsonl")
    for path, line in (clean, server_clean()), (train, server_chat()):
        with dbapi.connect(uri()) as connection, connection.cursor() as cursor:
            cursor.execute(QUERY)
            relation = duckdb.from_arrow(cursor.fetch_record_batch())
            relation.query(
                "rows",
                f"copy (select {line} from rows) to '{path}'"
                r" (format csv, header false, quote '', escape '', delimiter e'\x02')",
            )
    finish(clean, train)


def both_psql(train: Path) -> None:
    """Let the server build the JSON, and psql copy it, one file after the other."""
    clean = train.with_name("clean.jsonl")
    copy_lines((clean, server_clean()), (train, server_chat()))
    finish(clean, train)


def one_psql(train: Path) -> None:
    """Let the server build the JSON with its own function, and psql copy it."""
    message = "json_build_object('role', '{}', 'content', {})"
    texts = {"system": literal(prompt()), "user": "title", "assistant": "description"}
    messages = ", ".join(message.format(role, text) for role, text in texts.items())
    line = f"json_build_object('messages', json_build_array({messages}))"
    copy_lines((train, line))


def copy_lines(*lines: tuple[Path, str]) -> None:
    """Copy lines that the server builds, each into its file."""
    # Text format would double the backslashes; these two characters occur nowhere.
    options = r"(format csv, quote e'\x01', delimiter e'\x02')"
    copies = [rf"\copy (select {line} {ORDER}) to '{p}' {options}" for p, line in lines]
    arguments = [part for copy in copies for part in ("-c", copy)]
    subprocess.run([sys.argv[3], "-Xq", *arguments], check=True)


def server_text(text: str) -> str:
    """Return the SQL of a text as JSON, as the export writes it."""
    text = f"to_json({text})::text"
    for character, escape in ENDS.items():
        text = f"replace({text}, '{character}', '{escape}')"
    return text


def server_chat() -> str:
    """Return the SQL of a line of train.jsonl."""
    system = literal('{"messages":[{"role":"system","content":' + dumped(prompt()))
    user, assistant = (
        literal('},{"role":"' + role + '","content":') for role in ("user", "assistant")
    )
    texts = server_text("title"), server_text("description")
    return f"concat({system}, {user}, {texts[0]}, {assistant}, {texts[1]}, '}}]}}')"


def server_clean() -> str:
    """Return the SQL of a line of clean.jsonl."""
    parts: list[str] = []
    for column in COLUMNS:
        number = column in ("title_occurrences", "copies")
        value = column if number else server_text(column)
        key = ("," if parts else "{") + f'"{column}":'
        parts.append(f"{literal(key)}, coalesce(({value})::text, 'null')")
    return f"concat({', '.join(parts)}, '}}')"


def literal(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


def one_floor(_: Path) -> None:
    """Read the rows with COPY and discard them."""
    psycopg: Any = import_module("psycopg")
    with psycopg.connect() as connection:
        copying = connection.cursor().copy(f"copy ({QUERY}) to stdout (format binary)")
        with copying as copy:
            for _block in copy:
                pass


def old_script(path: Path) -> None:
    """Do what the script did that this project replaces."""
    psycopg: Any = import_module("psycopg")
    with psycopg.connect() as connection:
        pairs = connection.execute(old_query()).fetchall()
    clean = path.with_name("clean.jsonl")
    for title, description in pairs:
        with clean.open("a", encoding="utf-8") as output:
            pair = {"title": title, "description": description}
            output.write(json.dumps(pair, ensure_ascii=False) + "\n")
    with clean.open(encoding="utf-8") as source:
        examples = [json.loads(text) for text in source]
    for example in examples:
        with path.open("a", encoding="utf-8") as output:
            made = chat(prompt(), example["title"], example["description"])
            output.write(json.dumps(made, ensure_ascii=False) + "\n")


def old_query() -> str:
    """Return the query of the script that this project replaces."""
    kept = "length(content) > 10 and length(title) > 0 and trim(content) <> ''"
    return (
        f"select distinct title, content from product where {kept} and title in ("
        f"select title from product where {kept} group by title having count(*) >= 10"
        ") order by title"
    )


def uri() -> str:
    """Return libpq's variables as a URI, for libraries that do not read them."""
    names = ("PGUSER", "PGPORT", "PGDATABASE", "PGHOST")
    user, port, database, host = (quote(os.environ[name], "") for name in names)
    return f"postgresql://{user}@{host}:{port}/{database}"


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
