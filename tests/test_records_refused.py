"""A file without a list of rows is refused, with the command that converts it."""

import shlex
from pathlib import Path

import pytest

from exporter.errors import FinetuneError
from exporter.records import Columns, LoadStats, read_rows
from tests.checked import findings
from tests.rows import CASES, rows_in

REFUSED = {
    "A3_duplicate_header.csv": ":1: column title appears twice",
    "C2_header_open_quote.csv": ":1: the header has a quote that is not closed",
    "D11_pretty.json": ": an object over several lines; jq -c . ",
    "D12_wrapped.json": "key .products; jq -c '.products[]' ",
    "D13_zip.csv.zip": ": a zip archive; unzip ",
    "D15_header_case.csv": "has UID, Title, Content, but load needs uid, title, "
    "content: name yours with --id UID --title Title --content Content",
    "D18_lfs_pointer.jsonl": ": a Git LFS pointer, not the file; git lfs pull",
    "D19_no_id.csv": "has title, content, but load needs uid, title, content: name "
    "yours with --id COLUMN (or --no-id if the rows have none)",
    "G9_html_page.jsonl": ": an HTML or XML page",
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_file_without_a_list_of_rows_is_refused_with_its_remedy(name: str) -> None:
    with pytest.raises(FinetuneError) as error:
        rows_in(CASES / name)
    assert REFUSED[name] in str(error.value)


MORE_REFUSED = {
    "UTF-16LE": (
        "uid,title,content\n".encode("utf-16-le"),
        "iconv -f UTF-16LE -t UTF-8",
    ),
    "UTF-16BE": (
        "uid,title,content\n".encode("utf-16-be"),
        "iconv -f UTF-16BE -t UTF-8",
    ),
    "UTF-32": ("uid,title,content\n".encode("utf-32"), "iconv -f UTF-32 -t UTF-8"),
    "Parquet": (b"PAR1\x15\x04", "a Parquet file; pip install duckdb; python3 -c"),
    "xlsx": (
        b"PK\x03\x04....[Content_Types].xml",
        "an Excel file; save it as CSV UTF-8",
    ),
    "a dump": (b"PGDMP\x01", "a dump of PostgreSQL; pg_restore"),
    "rows below two keys": (
        b'{"data": {"items": [{"uid": 1}]}, "n": 1}\n',
        "jq -c '.data.items[]'",
    ),
    "a long document": (
        b'{\n "n": 1,\n "items": [\n' + b'  {"uid": 1, "title": "a"},\n' * 20_000,
        "perhaps items; jq -c '.. | objects | select(has(\"title\"))'",
    ),
    "UTF-32 without a mark": (
        "uid,title,content\n".encode("utf-32-be"),
        "iconv -f UTF-32BE -t UTF-8",
    ),
    "XML": (b"<products>\n<product/>\n</products>\n", "an HTML or XML page"),
    "what psql shows": (
        b" uid | title | content \n-----+-------+---------\n 1   | a     | b\n",
        "a table as psql shows it; write it as CSV: psql --csv",
    ),
    "nothing below sep=": (b"sep=;\n", ":2: no header below sep="),
    "rows by their keys": (
        b'{"1":{"uid":1,"title":"a"},"2":{"uid":2,"title":"b"}}',
        "each row is under a key of its own; jq -c '.[]' ",
    ),
    "columns": (
        b'{"uid":[1],"title":["a"],"content":["b"]}',
        'columns in place of rows; jq -c \'[.["uid"], .["title"], ',
    ),
    "columns by number": (
        b'{"uid":{"0":1},"title":{"0":"a"},"content":{"0":"b"}}',
        '| map([.[]]) | transpose[] | {"uid": .[0], ',
    ),
    "a header without end": (
        b"uid,title,content" + b",x" * 100_000,
        ":1: longer than 128 KiB; not a header of columns",
    ),
    "an array of Windows text": (
        b'[{"uid":"1","title":"\xe9","content":"b"}]',
        "not UTF-8: invalid continuation byte at byte 21; for Windows text: iconv",
    ),
    "a tar archive": (bytes(257) + b"ustar\0", "a tar archive; tar -xf "),
    "a NUL in the header": (
        b"uid,ti\0tle,content\n1,a,b\n",
        ":1: contains a NUL",
    ),
    "an empty zip": (b"PK\x05\x06" + bytes(18), "a zip archive; unzip "),
    "Markdown": (b"| uid | title |\n|---|---|\n", "a table in Markdown"),
    "joined files whose columns differ in order": (
        b"uid,title,content\n1,a,b\nTitle,uid,content\nc,2,d\n",
        ":3: a header with the columns in another order",
    ),
    "a broken array": (
        b'[{"uid":1,"title":"a","content":"b"},\n{"uid":2 "title"}]',
        ":2: not a JSON array: Expecting ',' delimiter",
    ),
    "half a character of UTF-16": (
        "uid,title,content\n1,a,b\n".encode("utf-16")[:-1],
        "it ends within a character; copy the file again",
    ),
    "nothing": (b"\xef\xbb\xbf\n \n", "the file is empty"),
}


@pytest.mark.parametrize("name", MORE_REFUSED)
def test_other_files_without_a_list_of_rows_are_refused_with_their_remedy(
    name: str, tmp_path: Path
) -> None:
    content, message = MORE_REFUSED[name]
    path = tmp_path / "rows"
    path.write_bytes(content)
    with pytest.raises(FinetuneError) as error:
        rows_in(path)
    assert message in str(error.value)


def test_the_command_for_parquet_can_be_pasted_whatever_the_path(
    tmp_path: Path,
) -> None:
    path = tmp_path / 'it\'s a "best of" $HOME; `ls`.parquet'
    path.write_bytes(b"PAR1")
    with pytest.raises(FinetuneError) as loading:
        rows_in(path)
    fixes = [f.fix for f in findings(path) if f.rule == "parquet"]
    for text in (str(loading.value), *fixes):
        *_, flag, program, argument = shlex.split(text[text.index("python3") :])
        assert (flag, argument) == ("-c", str(path))
        compile(program, "", "exec")
    assert len(fixes) == 1


def test_the_command_for_a_document_can_be_pasted_whatever_the_title(
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.json"
    path.write_bytes(MORE_REFUSED["a long document"][0])
    columns = Columns("uid", "it's", "content")
    with pytest.raises(FinetuneError) as error:
        [*read_rows(path, columns, LoadStats(lambda _: None))]
    command = str(error.value).partition("; ")[2]
    assert shlex.split(command)[:3] == [
        *("jq", "-c", '.. | objects | select(has("it\'s"))')
    ]
