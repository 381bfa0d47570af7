"""The raw table of a load: its columns, their types, and its triggers."""

from tests.rows import GOOD
from tests.workspace import Workspace


def test_a_missing_column_of_the_table_is_named_with_those_it_has(
    workspace: Workspace,
) -> None:
    workspace.insert([])
    done = workspace.finetune("load", "-", "--id", "sku", text='{"sku": 1}\n' + GOOD)
    assert done.returncode == 1
    text = GOOD.replace("uid", "sku")
    done = workspace.finetune("load", "-", "--id", "sku", text=text)
    assert "product has no column sku; it has uid, title, content" in done.stderr


def test_columns_of_other_types_accept_what_the_server_can_convert(
    workspace: Workspace,
) -> None:
    workspace.sql("create table product (id serial, uid int, title text, content text)")
    numbers = '{"uid": 7, "title": "t", "content": null}\n'
    assert workspace.finetune("load", "-", text=numbers).returncode == 0
    assert workspace.sql("select uid, title from product") == [(7, "t")]
    done = workspace.finetune("load", "-", "--append", text=GOOD.replace('"1"', '"x"'))
    assert done.returncode == 1
    assert 'invalid input syntax for type integer: "x"' in done.stderr
    assert "COPY product, line 1, column uid" in done.stderr


DROPPING = """
create function drop_rows() returns trigger language plpgsql as $$
begin
    if new.uid <> '2' then return null; end if;
    return new;
end $$;
create trigger dropping before insert on product
for each row execute function drop_rows()
"""


def test_rows_that_a_trigger_drops_are_reported(workspace: Workspace) -> None:
    workspace.insert([("0", "old", "row")])
    workspace.sql(DROPPING)
    done = workspace.finetune("load", "-", "--replace", text=GOOD)
    assert (done.returncode, done.stderr) == (
        1,
        (
            "finetune: public.product took none of the rows; nothing was changed: "
            "look for a trigger of the table that drops them\n"
        ),
    )
    assert workspace.sql("select uid from product") == [("0",)]
    text = GOOD + GOOD.replace("1", "2")
    done = workspace.finetune("load", "-", "--replace", text=text)
    assert done.returncode == 0
    assert done.stderr.startswith(
        "1 row loaded into public.product\n"
        "warning: 2 rows sent; a trigger of public.product dropped the others, or "
        "moved them to other tables\n"
    )


MOVING = """
create table product_one (check (uid = '1')) inherits (product);
create function move_rows() returns trigger language plpgsql as $$
begin
    insert into product_one values (new.*);
    return null;
end $$;
create trigger moving before insert on product
for each row execute function move_rows()
"""


def test_rows_that_a_trigger_moves_to_a_child_are_loaded(workspace: Workspace) -> None:
    workspace.insert([])
    workspace.sql(MOVING)
    done = workspace.finetune("load", "-", text=GOOD)
    assert done.returncode == 0, done.stderr
    assert "warning: 1 row sent; a trigger of public.product dropped" in done.stderr
    assert workspace.sql("select uid from product") == [("1",)]
