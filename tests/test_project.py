"""The dbt project alone: vars, other tables, other servers, clear errors."""

import json
import re
from pathlib import Path

import pytest

from tests.workspace import DBT, MakeWorkspace, Workspace, edit

DESCRIPTIONS = [("lamp", f"a bright lamp, number {n}") for n in range(12)]


def configure(workspace: Workspace, **values: object) -> None:
    """Write the vars as a user would, into dbt_project.yml."""
    path = workspace.project / "dbt_project.yml"
    lines = path.read_text().splitlines()
    for name, value in values.items():
        [place] = [i for i, line in enumerate(lines) if line.startswith(f"  {name}:")]
        lines[place] = f"  {name}: {json.dumps(value)}"
    path.write_text("\n".join(lines) + "\n")


def test_the_project_parses_without_a_warning(workspace: Workspace) -> None:
    parsed = workspace.dbt("--warn-error", "parse", "--show-all-deprecations")
    assert parsed.returncode == 0, parsed.stdout


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("min_description_length", -1, "a whole number of at least 0, but is -1"),
        ("min_description_length", "ten", 'a whole number of at least 0, but is "ten"'),
        ("min_description_length", 1.5, "a whole number of at least 0, but is 1.5"),
        ("min_title_occurrences", 0, "a whole number of at least 1, but is 0"),
        ("min_title_occurrences", True, "a whole number of at least 1, but is true"),
        ("min_title_occurrences", None, "a whole number of at least 1, but is null"),
        ("validation_percent", 51, "a number of at least 0 and at most 50, but is 51"),
        ("validation_percent", -0.1, "a number of at least 0 and at most 50, but is"),
    ],
)
def test_a_var_out_of_range_stops_the_build_with_an_error(
    workspace: Workspace, name: str, value: object, sentence: str
) -> None:
    configure(workspace, **{name: value})
    parsed = workspace.dbt("parse")
    assert parsed.returncode == 2
    assert f"var {name} must be {sentence}" in parsed.stdout


def test_another_table_works_by_configuration_alone(workspace: Workspace) -> None:
    workspace.sql("create schema support")
    workspace.sql(
        'create table support."answers 2" '
        '("Question" text, answer varchar(99), id int primary key)'
    )
    workspace.sql(
        'insert into support."answers 2" '
        "select 'How?', 'Like this, number ' || n, n from generate_series(1, 12) n"
    )
    configure(
        workspace,
        raw_schema="support",
        raw_table="answers 2",
        id_column="id",
        title_column="Question",
        content_column="answer",
    )
    workspace.build()
    # The shipped prompt speaks of products.
    line = refusal(workspace, "export")
    assert (
        "product_descriptions.config.meta.finetune.system_prompt: the system prompt"
        in line
    )
    files = workspace.export("--system-prompt", "You answer questions.")
    lines = (files / "clean.jsonl").read_text().splitlines()
    pairs = [json.loads(line) for line in lines]
    assert len(pairs) == 12
    assert {pair["title"] for pair in pairs} == {"How?"}
    assert {pair["first_uid"] for pair in pairs} == {str(n) for n in range(1, 13)}
    more = '{"id": 99, "Question": "Why?", "answer": "Because."}'
    loaded = workspace.finetune("load", "-", "--append", text=more)
    assert loaded.stderr.startswith("1 row loaded into support.answers 2\n")


@pytest.mark.slow
def test_dbt_works_through_local_run_on_an_external_server(
    workspace: Workspace,
) -> None:
    workspace.insert([(None, *pair) for pair in DESCRIPTIONS])
    for command in ("build", "test"):
        done = workspace.finetune(
            *("local", "run", "--", DBT, command, "--project-dir", "dbt_project")
        )
        assert done.returncode == 0, done.stdout
    assert workspace.export().exists()


def test_descriptions_of_dbt_are_comments_in_the_database(
    built_sample: Workspace,
) -> None:
    [[comment]] = built_sample.sql(
        "select obj_description('finetune.filter_funnel'::regclass)"
    )
    assert comment.strip().endswith("one row per rule.")


def test_the_documentation_is_one_page_with_an_overview(
    sample: Workspace,
) -> None:
    done = sample.dbt("docs", "generate", "--static")
    assert done.returncode == 0, done.stdout
    page = (sample.project / "target/static_index.html").read_text()
    overview = (sample.project / "models/overview.md").read_text()
    for model in re.findall(r"^\| `(\w+)` \|", overview, flags=re.MULTILINE):
        assert list((sample.project / "models").rglob(f"{model}.sql")), model
    assert "SQL decides which rows, Python" in page
    assert sample.finetune("export").returncode == 0
    assert sample.finetune("report").returncode == 0
    for name in ("report.html", "README.md"):
        text = (sample.folder / "files" / name).read_text()
        [link] = re.findall(r"[\"(]([^\"()]*/static_index\.html)[\")]", text)
        assert (sample.folder / "files" / link).samefile(
            sample.project / "target/static_index.html"
        )


def refusal(workspace: Workspace, *arguments: str, **variables: str) -> str:
    """Return the one line of a command's error."""
    done = workspace.finetune(*arguments, text="", limits=None, **variables)
    assert (done.returncode, done.stdout) == (1, ""), done.stderr
    # On a slow machine a line may come first that says what the command waits for.
    [line] = [x for x in done.stderr.splitlines() if not x.startswith("waiting for ")]
    assert line.startswith("finetune: ")
    return line


def test_without_a_server_the_error_is_one_line(
    sample: Workspace, tmp_path: Path
) -> None:
    line = refusal(sample, "export", PGHOST=str(tmp_path))
    assert "No such file or directory" in line
    assert "check PGHOST, PGPORT" in line


def test_a_wrong_password_is_one_clear_line(sample: Workspace) -> None:
    name = f"role_{sample.environment['PGDATABASE']}"
    sample.sql(f"create role {name} login password 'right'")
    [[trusts]] = sample.sql(
        "select not exists (select from pg_hba_file_rules where auth_method <> 'trust')"
    )
    if trusts:
        line = refusal(sample, "export", PGUSER=f"{name}x")
        assert f'role "{name}x" does not exist' in line
    else:
        line = refusal(sample, "export", PGUSER=name, PGPASSWORD="wrong")
        assert "password authentication failed" in line
    assert "wrong" not in line


def test_a_missing_raw_table_is_named_by_dbt(workspace: Workspace) -> None:
    built = workspace.dbt("build")
    assert built.returncode == 1
    assert 'relation "public.product" does not exist' in built.stdout


def test_a_missing_column_is_named_by_dbt(workspace: Workspace) -> None:
    workspace.sql("create table product (uid text, title text)")
    built = workspace.dbt("build")
    assert built.returncode == 1
    assert 'column "content" does not exist' in built.stdout


@pytest.mark.parametrize("kind", ["jsonb", "mood", "text[]"])
def test_a_column_that_is_not_text_is_refused_with_its_var_and_a_remedy(
    workspace: Workspace, kind: str
) -> None:
    workspace.sql("create type mood as enum ('good')")
    workspace.sql(f"create table product (uid text, title text, content {kind})")
    built = workspace.dbt("build", "--select", "stg_finetune__products")
    assert built.returncode == 1
    said = " ".join(built.stdout.split())
    assert (
        f"var content_column names column content of public.product, which is {kind} "
        "but must be text; make a view of public.product with cast("
    ) in said


def test_padded_texts_and_whole_numbers_are_read_as_text(workspace: Workspace) -> None:
    workspace.sql("create table product (uid int, title bigint, content char(40))")
    workspace.sql(
        "insert into product"
        " select n, 7, '  number ' || n || ' of many' from generate_series(1, 12) n"
    )
    workspace.build()
    rows = workspace.sql("select title, description from finetune.training_pairs")
    assert {*rows} == {("7", f"number {n} of many") for n in range(1, 13)}


def test_a_relation_of_another_shape_is_refused(sample: Workspace) -> None:
    sample.sql("drop view finetune.training_pairs")
    sample.sql(
        "create view finetune.training_pairs as"
        " select *, 1 as split from finetune.int_finetune__pairs_deduplicated"
    )
    line = refusal(sample, "export", "--no-system")
    assert "split: column split of finetune.training_pairs is not text" in line


def test_sql_ascii_is_refused_by_dbt_load_and_export(
    make_workspace: MakeWorkspace, sample: Workspace
) -> None:
    options = "template template0 encoding 'SQL_ASCII' locale 'C'"
    workspace = make_workspace(create_options=options)
    message = "has the encoding SQL_ASCII"
    text = '{"uid": "1", "title": "t", "content": "c"}'
    loaded = workspace.finetune("load", "-", text=text)
    assert loaded.returncode == 1
    assert message in loaded.stderr
    assert loaded.stderr.count("\n") == 1
    built = workspace.dbt("build")
    assert built.returncode != 0
    assert message in built.stdout
    target = workspace.project / "target"
    target.mkdir(exist_ok=True)
    for name in ("manifest.json", "run_results.json"):
        data = (sample.project / "target" / name).read_text()
        old, new = (w.environment["PGDATABASE"] for w in (sample, workspace))
        (target / name).write_text(data.replace(old, new))
    assert message in refusal(workspace, "export")


def test_a_server_without_the_table_is_not_seeded(workspace: Workspace) -> None:
    seeded = workspace.finetune("local", "seed", "absent.csv")
    assert seeded.returncode == 1
    assert seeded.stderr == (
        "finetune: public.product does not exist; set raw_schema and raw_table in "
        "dbt_project/dbt_project.yml to your table, or create it with finetune load "
        "FILE\n"
    )


def test_a_column_that_the_table_lacks_is_named_with_its_var(
    workspace: Workspace,
) -> None:
    workspace.insert([("1", "lamp", "a bright lamp")])
    settings = workspace.project / "dbt_project.yml"
    edit(settings, "content_column: content", "content_column: body")
    seeded = workspace.finetune("local", "seed", "absent.csv")
    assert seeded.returncode == 1
    assert seeded.stderr == (
        "finetune: public.product has no column body; it has uid, title, content: set "
        "content_column in dbt_project/dbt_project.yml\n"
    )


def test_nothing_but_the_schema_of_dbt_is_touched(workspace: Workspace) -> None:
    workspace.insert([(None, *pair) for pair in DESCRIPTIONS])
    workspace.sql("create schema other; create table other.kept (id int)")
    everything = (
        "select nspname, relname, pg_class.xmin::text, relfilenode"
        " from pg_class join pg_namespace n on n.oid = relnamespace"
        " where nspname not in ('finetune', 'pg_catalog', 'pg_toast',"
        " 'information_schema') order by 1, 2"
    )
    before = workspace.sql(everything)
    rows = workspace.sql("select *, xmin::text from product order by content")
    seeded = workspace.finetune("local", "seed", "absent.csv")
    assert (seeded.returncode, seeded.stderr) == (0, "")
    workspace.build()
    workspace.export()
    assert workspace.sql(everything) == before
    assert workspace.sql("select *, xmin::text from product order by content") == rows


def test_an_export_writes_nothing_to_the_database(sample: Workspace) -> None:
    with sample.connect() as connection:
        connection.execute("create sequence finetune.counter")
        connection.execute(
            "create or replace view finetune.training_pairs as"
            " select pair_id, title, description,"
            " case when nextval('finetune.counter') > 0 then 'train' end as split,"
            " title_occurrences, copies, first_uid"
            " from finetune.int_finetune__pairs_deduplicated"
        )
    done = sample.finetune("export", "--no-gate")
    assert done.returncode == 1
    assert "cannot execute nextval() in a read-only transaction" in done.stderr
