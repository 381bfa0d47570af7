"""Access: the least roles, and a server proven by its certificate."""

import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
import pytest

from exporter.engines import embedded
from tests.workspace import REPOSITORY, Workspace, openssl

GRANTS = re.findall(
    r"```sql\n(.*?)```", (REPOSITORY / "docs/server.md").read_text(), flags=re.DOTALL
)


def statements(database: str) -> list[str]:
    """Return the grants of the page, for roles of this database's own."""
    [text] = GRANTS
    text = re.sub(r"--.*", "", text.replace(" shop ", f" {database} "))
    text = re.sub(r"\bfinetune_(build|export)\b", rf"finetune_\1_{database}", text)
    every = (
        " ".join(one.split()) for one in text.replace("'…'", "'secret'").split(";")
    )
    return [one for one in every if one]


def undone(grant: str) -> str:
    """Return the statement that takes a grant away."""
    return re.sub(r"\bgrant\b", "revoke", grant).replace(" to ", " from ")


def test_the_roles_of_the_documents_need_each_grant_and_no_other(
    workspace: Workspace,
) -> None:
    workspace.insert([(None, "lamp", f"a bright lamp, {n}") for n in range(12)])
    database = workspace.environment["PGDATABASE"]
    # Nothing comes by itself.
    workspace.sql(f"revoke all on database {database} from public")
    workspace.sql("revoke all on schema public from public")
    given = statements(database)
    for statement in given:
        workspace.sql(statement)
    builder, exporter = (
        Workspace(
            workspace.folder,
            workspace.environment
            | {"PGUSER": f"finetune_{name}_{database}", "PGPASSWORD": "secret"},
        )
        for name in ("build", "export")
    )
    builder.build()
    exporter.export()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        exporter.sql("select * from public.product")
    # What dbt ran for the one model that reads the raw table, and what tests do.
    [path] = (workspace.project / "target/run").rglob("stg_finetune__products.sql")
    read = "select * from finetune.stg_finetune__products"
    build = f"begin; {path.read_text()}; {read}; rollback"

    def require_needed(undo: str, again: str, works: Callable[[], object]) -> None:
        works()
        workspace.sql(undo)
        with pytest.raises((psycopg.Error, AssertionError), match="permission denied"):
            works()
        workspace.sql(again)
        works()

    grants = [one for one in given if one.startswith("grant ")]
    assert len(grants) == 5
    for grant in grants:
        builds = "finetune_build_" in grant
        require_needed(
            undone(grant),
            grant,
            (lambda: builder.sql(build)) if builds else exporter.export,
        )
    # The schema of its own, and the default privileges for what it makes there.
    owner = "alter schema finetune owner to "
    require_needed(
        owner + workspace.environment["PGUSER"],
        owner + builder.environment["PGUSER"],
        lambda: builder.sql(build),
    )
    [default] = [one for one in given if one.startswith("alter default ")]

    def read_what_is_new() -> None:
        builder.sql("create table finetune.new ()")
        try:
            exporter.sql("select * from finetune.new")
        finally:
            builder.sql("drop table finetune.new")

    require_needed(undone(default), default, read_what_is_new)


def test_rows_that_a_policy_hides_stop_the_build(workspace: Workspace) -> None:
    workspace.insert([(None, "lamp", f"a bright lamp {n}") for n in range(20)])
    name = f"builder_{workspace.environment['PGDATABASE']}"
    for statement in (
        "alter table product enable row level security",
        "create policy a_few on product using (content like '%1%')",
        f"create role {name} login password 'secret'",
        f"grant select on product to {name}",
        f"grant create on database {workspace.environment['PGDATABASE']} to {name}",
        # Behind a view, row_security_active() does not show the policy.
        "create table behind as table product",
        "alter table behind enable row level security",
        "alter table behind force row level security",
        "create view shown with (security_barrier) as table behind",
        f"grant select on behind, shown to {name}",
    ):
        workspace.sql(statement)
    workspace.environment |= {"PGUSER": name, "PGPASSWORD": "secret"}
    built = workspace.dbt("build", "--exclude-resource-type", "unit_test")
    assert built.returncode != 0
    said = " ".join(built.stdout.split())
    assert f"row level security on public.product would hide rows from role {name}" in (
        said
    )


def test_a_view_that_may_not_be_read_is_one_clear_line(sample: Workspace) -> None:
    name = f"reader_{sample.environment['PGDATABASE']}"
    sample.sql(f"create role {name} login password 'secret'")
    sample.sql(f"grant usage on schema finetune to {name}")
    done = sample.finetune("export", PGUSER=name, PGPASSWORD="secret")
    assert (done.returncode, done.stdout) == (1, "")
    line = done.stderr.splitlines()[-1]
    assert line.startswith("finetune: PostgreSQL: permission denied for ")
    assert "grant this role what docs/server.md lists" in line


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two authorities, and a server's certificate of one."""
    folder = tmp_path_factory.mktemp("certificates")

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    for name in ("right", "wrong"):
        openssl(
            folder,
            *("req", "-x509", *key, "-subj", f"/CN={name} authority"),
            *("-keyout", f"{name}.key", "-out", f"{name}.crt"),
        )
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    openssl(
        folder,
        *("req", *key[:-2], "-subj", "/CN=localhost"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    openssl(
        folder,
        *("x509", "-req", "-in", "server.csr", "-CA", "right.crt", "-CAkey"),
        *("right.key", "-CAcreateserial", "-days", "2", "-extfile", "names"),
        *("-out", "server.crt"),
    )
    return folder


@contextmanager
def encrypted(variables: dict[str, str], certificates: Path) -> Iterator[int]:
    """Yield the port where the server is reached over TLS, with its certificate.

    The server in the wheel is built without TLS, so a proxy speaks it for it.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "server.crt", certificates / "server.key")
    target = f"{variables['PGHOST']}/.s.PGSQL.{variables['PGPORT']}"

    def pump(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError, ValueError):
            while data := source.recv(1 << 16):
                sink.sendall(data)
        with suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def accept() -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(plain: socket.socket) -> None:
        with suppress(OSError), plain:
            # The request for TLS is eight bytes, and S says yes.
            if plain.recv(8)[4:] != bytes.fromhex("04d2162f"):
                return
            plain.sendall(b"S")
            with (
                context.wrap_socket(plain, server_side=True) as client,
                socket.socket(socket.AF_UNIX) as server,
            ):
                server.connect(target)
                # One thread may read from a TLS socket while another writes.
                answers = threading.Thread(target=pump, args=(server, client))
                answers.start()
                pump(client, server)
                answers.join()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)


VERIFIED = {"PGSSLMODE": "verify-full", "PGGSSENCMODE": "disable"}


@pytest.mark.skipif(embedded.connection_is_set(), reason="needs the server's socket")
def test_a_server_is_proven_by_its_certificate_and_name(
    workspace: Workspace, certificates: Path
) -> None:
    rows = REPOSITORY / "examples/products.csv"
    with encrypted(workspace.environment, certificates) as port:
        variables: dict[str, Any] = {"PGPORT": str(port), **VERIFIED}

        def load(host: str, authority: str) -> tuple[int, str]:
            done = workspace.finetune(
                *("load", rows, "--replace"),
                PGHOST=host,
                PGSSLROOTCERT=str(certificates / f"{authority}.crt"),
                **variables,
            )
            return done.returncode, done.stderr.splitlines()[-1]

        assert load("localhost", "right")[0] == 0
        code, said = load("127.0.0.1", "right")
        assert code == 1
        assert said.endswith(
            'does not match host name "127.0.0.1"; set PGHOST to the name in the '
            "certificate"
        )
        code, said = load("localhost", "wrong")
        assert code == 1
        assert "certificate verify failed" in said
        assert said.endswith(
            "; set PGSSLROOTCERT to the certificate of the authority that signed the "
            "server's"
        )
        code, said = load("localhost", "missing")
        assert code == 1
        assert "; set PGSSLROOTCERT to the certificate" in said
