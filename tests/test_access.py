"""Access: a server of one's own is proven by its certificate."""

import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from exporter.engines import embedded
from tests.conftest import REPOSITORY, Workspace


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with two authorities, and a server's certificate of one."""
    folder = tmp_path_factory.mktemp("certificates")

    def openssl(*arguments: str) -> None:
        subprocess.run(
            ["openssl", *arguments], cwd=folder, check=True, capture_output=True
        )

    key = ("-newkey", "rsa:2048", "-nodes", "-days", "2")
    for name in ("right", "wrong"):
        openssl(
            *("req", "-x509", *key, "-subj", f"/CN={name} authority"),
            *("-keyout", f"{name}.key", "-out", f"{name}.crt"),
        )
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    openssl(
        *("req", *key[:-2], "-subj", "/CN=localhost"),
        *("-keyout", "server.key", "-out", "server.csr"),
    )
    openssl(
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


@pytest.mark.skipif(embedded.own_server_chosen(), reason="needs the server's socket")
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
