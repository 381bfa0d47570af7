"""What a user would pick instead: each function does one job in one process."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import quote

QUERY = "select title, description from finetune.training_pairs order by pair_id"
SYSTEM = "You write product descriptions."


def line(title: str, description: str) -> str:
    """Return a chat example as most people write it."""
    roles = [("system", SYSTEM), ("user", title), ("assistant", description)]
    messages = [{"role": role, "content": content} for role, content in roles]
    return json.dumps({"messages": messages}, ensure_ascii=False) + "\n"


def write(path: Path, pairs: Iterable[tuple[str, str]]) -> None:
    """Write a line a pair."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(line(title, description) for title, description in pairs)


def export_floor(_: Path) -> None:
    """Read the same COPY and throw it away."""
    psycopg: Any = import_module("psycopg")
    with psycopg.connect() as connection:
        query = QUERY.replace("title, description", "*")
        with connection.cursor().copy(
            f"copy ({query}) to stdout (format binary)"
        ) as copy:
            for _block in copy:
                pass


def export_server_json(path: Path) -> None:
    """Let the server build the JSON, and psql copy it."""
    message = "json_build_object('role', '{}', 'content', {})"
    messages = ", ".join(
        message.format(role, content)
        for role, content in [
            ("system", f"'{SYSTEM}'"),
            ("user", "title"),
            ("assistant", "description"),
        ]
    )
    select = (
        f"select json_build_object('messages', json_build_array({messages}))"
        " from finetune.training_pairs order by pair_id"
    )
    # Text format would double the backslashes; these two characters occur nowhere.
    options = r"(format csv, quote e'\x01', delimiter e'\x02')"
    copy = rf"\copy ({select}) to '{path}' {options}"
    subprocess.run([sys.argv[3], "-XqAtc", copy], check=True)


def export_cursor_json(path: Path) -> None:
    """Fetch through a server-side cursor, and dump each row."""
    psycopg: Any = import_module("psycopg")
    with psycopg.connect() as connection, connection.cursor(name="pairs") as cursor:
        cursor.itersize = 2000
        write(path, cursor.execute(QUERY))


def export_polars(path: Path) -> None:
    """Read with polars and connectorx."""
    polars: Any = import_module("polars")
    frame = polars.read_database_uri(QUERY, uri(), engine="connectorx")
    write(path, frame.iter_rows())


def export_adbc(path: Path) -> None:
    """Read record batches with ADBC and pyarrow."""
    dbapi: Any = import_module("adbc_driver_postgresql.dbapi")
    with dbapi.connect(uri()) as connection, connection.cursor() as cursor:
        cursor.execute(QUERY)
        batches = cursor.fetch_record_batch()
        write(
            path,
            (
                pair
                for batch in batches
                for pair in zip(*(c.to_pylist() for c in batch.columns), strict=True)
            ),
        )


def export_pandas(path: Path) -> None:
    """Read with pandas, and let it write the lines."""
    pandas: Any = import_module("pandas")
    sqlalchemy: Any = import_module("sqlalchemy")
    frame = pandas.read_sql(QUERY, sqlalchemy.create_engine("postgresql+psycopg://"))
    frame["messages"] = [
        [
            {"role": "system", "content": SYSTEM},
            {"role": "user", "content": title},
            {"role": "assistant", "content": description},
        ]
        for title, description in zip(frame.title, frame.description, strict=True)
    ]
    frame[["messages"]].to_json(path, orient="records", lines=True, force_ascii=False)


def export_datasets(path: Path) -> None:
    """Read, map and write with Hugging Face datasets."""
    datasets: Any = import_module("datasets")
    sqlalchemy: Any = import_module("sqlalchemy")
    rows = datasets.Dataset.from_sql(
        QUERY,
        sqlalchemy.create_engine("postgresql+psycopg://"),
        cache_dir=str(path.parent),
    )
    chats = rows.map(
        lambda row: json.loads(line(row["title"], row["description"])),
        remove_columns=rows.column_names,
    )
    chats.to_json(path, force_ascii=False)


def pipeline_old_script(path: Path) -> None:
    """Query the raw table, and write as the script of before did."""
    psycopg: Any = import_module("psycopg")
    kept = "length(content) > 10 and length(title) > 0 and trim(content) <> ''"
    with psycopg.connect() as connection:
        pairs = connection.execute(
            f"""
            select distinct title, content from product
            where {kept} and title in (
                select title from product where {kept}
                group by title having count(*) >= 10
            )
            order by title
            """
        ).fetchall()
    clean = path.with_name("clean.jsonl")
    for title, description in pairs:
        with clean.open("a", encoding="utf-8") as output:
            pair = {"title": title, "description": description}
            output.write(json.dumps(pair, ensure_ascii=False) + "\n")
    with clean.open(encoding="utf-8") as source:
        examples = [json.loads(text) for text in source]
    for example in examples:
        with path.open("a", encoding="utf-8") as output:
            output.write(line(example["title"], example["description"]))


def load_psql(path: Path) -> None:
    """Copy the same rows as CSV with psql."""
    copy = rf"\copy loaded from '{path.with_suffix('.csv')}' csv header"
    subprocess.run([sys.argv[3], "-Xqc", copy], check=True)


def load_pandas(path: Path) -> None:
    """Read with pandas, and write with to_sql."""
    pandas: Any = import_module("pandas")
    sqlalchemy: Any = import_module("sqlalchemy")
    engine = sqlalchemy.create_engine("postgresql+psycopg://")
    for frame in pandas.read_json(path, lines=True, chunksize=50_000, dtype=False):
        frame.to_sql("loaded", engine, if_exists="append", index=False)


def load_row_by_row(path: Path) -> None:
    """Insert one row after the other, in one transaction."""
    psycopg: Any = import_module("psycopg")
    with path.open(encoding="utf-8") as file, psycopg.connect() as connection:
        for text in file:
            row = json.loads(text)
            connection.execute(
                "insert into loaded values (%(uid)s, %(title)s, %(content)s)", row
            )


def uri() -> str:
    """Return libpq's variables as an address, for who cannot read them."""
    names = ("PGUSER", "PGPORT", "PGDATABASE", "PGHOST")
    user, port, database, host = (quote(os.environ[name], "") for name in names)
    return f"postgresql://{user}@{host}:{port}/{database}"


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]))
