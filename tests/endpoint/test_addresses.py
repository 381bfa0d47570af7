"""Where requests go: certificates, proxies, and how long a server asks to wait."""

import ssl
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.endpoint.conftest import KEY, MODEL, Finetune
from tests.endpoint.handler import Fault
from tests.endpoint.server import Server
from tests.workspace import openssl

PASSWORD = "planted-secret"
COMMANDS = [("upload",), ("train", "--model", MODEL, "--yes")]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with self-signed certificates."""
    folder = tmp_path_factory.mktemp("certificates")

    for name, host, days in (
        ("right", "IP:127.0.0.1", "2"),
        ("other", "DNS:example.com", "2"),
        ("expired", "IP:127.0.0.1", "-1"),
    ):
        (folder / "names").write_text(f"subjectAltName={host}")
        openssl(
            folder,
            *("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"),
            *("-keyout", f"{name}.key", "-out", "request"),
        )
        openssl(
            folder,
            *(
                "x509",
                "-req",
                "-in",
                "request",
                "-signkey",
                f"{name}.key",
                "-days",
                days,
            ),
            *("-extfile", "names", "-out", f"{name}.crt"),
        )
    return folder


class Silent(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *_: object) -> None:  # noqa: A002
        """Log nothing."""


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("presented", "trusted", "message"),
    [
        ("right", "right", "404 on "),
        (
            "right",
            "other",
            "self-signed certificate (_ssl.c:*), on *; set SSL_CERT_FILE",
        ),
        (
            "expired",
            "expired",
            "certificate has expired (_ssl.c:*), on *; check the clock",
        ),
        ("other", "other", "put the name in the certificate into OPENAI_BASE_URL\n"),
    ],
)
def test_the_certificate_of_an_endpoint_is_verified(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    certificates: Path,
    command: tuple[str, ...],
    presented: str,
    trusted: str,
    message: str,
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        certificates / f"{presented}.crt", certificates / f"{presented}.key"
    )
    with ThreadingHTTPServer(("127.0.0.1", 0), Silent) as listener:
        listener.handle_error = lambda *_: None  # type: ignore[method-assign]
        listener.socket = context.wrap_socket(listener.socket, server_side=True)
        threading.Thread(
            target=listener.serve_forever, args=(0.02,), daemon=True
        ).start()
        url = f"https://127.0.0.1:{listener.server_port}/v1"
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates / f"{trusted}.crt"))
        result = finetune(*command, "--retries", "0")
        listener.shutdown()
    assert (result.code, result.out, result.err.count("\n")) == (1, "", 1)
    place = 0
    for part in message.split("*"):
        place = result.err.find(part, place)
        assert place >= 0, result.err
    assert server.requests == []


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SSL_CERT_FILE", "/nowhere", "SSL_CERT_FILE or SSL_CERT_DIR: No such file"),
        (
            "HTTP_PROXY",
            f"x://ann:{PASSWORD}@h",
            "is not an address such as http://HOST",
        ),
        (
            "HTTP_PROXY",
            f"http://ann:{PASSWORD}",
            "is not an address such as http://HOST",
        ),
        (
            "ALL_PROXY",
            f"socks5://ann:{PASSWORD}@h",
            "speaks SOCKS; pip install socksio",
        ),
        (
            "HTTP_PROXY",
            f"http://ann:{PASSWORD}@127.0.0.1:9",
            "Connection refused, on listing the files; check the proxy in HTTP_PROXY",
        ),
        (
            "ALL_PROXY",
            f"http://ann:{PASSWORD}@127.0.0.1:9",
            "Connection refused, on listing the files; check the proxy in ALL_PROXY",
        ),
        ("OPENAI_BASE_URL", f"http://\u202e:{PASSWORD}@\u202e", "BASE_URL is not an"),
        ("OPENAI_BASE_URL", "http://x/\x07", "OPENAI_BASE_URL is not an address"),
    ],
)
def test_a_variable_that_cannot_be_used_is_one_line_without_its_secret(
    server: Server,
    finetune: Finetune,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    value: str,
    message: str,
) -> None:
    monkeypatch.setenv(name, value)
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("\n"), server.requests) == (1, 1, [])
    assert message in result.err
    assert PASSWORD not in result.err


def test_a_proxy_is_used_except_for_the_hosts_in_no_proxy(
    server: Server, finetune: Finetune, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = f"http://ann:{PASSWORD}@127.0.0.1:9"
    monkeypatch.setenv("HTTP_PROXY", closed)
    assert finetune("upload", "--retries", "0").code == 1
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert finetune("upload", "--retries", "0").code == 0
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.setenv("HTTP_PROXY", server.url.replace("://", f"://ann:{PASSWORD}@"))
    monkeypatch.setenv("OPENAI_BASE_URL", "http://endpoint.invalid/v1")
    result = finetune("upload", "--retries", "0")
    assert (result.code, PASSWORD in result.err) == (0, False)


def in_seconds(seconds: float) -> str:
    return formatdate(time.time() + seconds, usegmt=True)


@pytest.mark.parametrize(
    ("header", "sent"),
    [
        *[
            (lambda text=text: text, 2)
            for text in ("-5", "nan", "soon", "", "1_", "1e11")
        ],
        *[(lambda text=text: text, 1) for text in ("1e9", "99999999999", "121")],
        (lambda: in_seconds(-3600), 2),
        (lambda: in_seconds(2), 2),
        (lambda: in_seconds(3600), 1),
        (lambda: "Fri, 31 Dec 9999 23:59:59 GMT", 2),
        (lambda: "Mon, 01 Jan 0001 00:00:00 -0000", 2),
        (lambda: "Mon, 99 Jan 2027 00:00:00 GMT", 2),
    ],
)
def test_an_invalid_retry_after_is_ignored(
    server: Server, finetune: Finetune, header: Callable[[], str], sent: int
) -> None:
    # A Retry-After of more than two minutes is reported at once.
    headers = (("retry-after", header()),)
    server.faults.append(Fault("POST /files", 429, 1, headers=headers))
    start = time.monotonic()
    result = finetune("upload", "--retries", "1")
    assert time.monotonic() - start < 30
    assert server.requests.count("POST /files") == (3 if sent == 2 else 1)
    assert (result.code, KEY in result.err) == (sent % 2, False)
    assert len(server.files) == (2 if sent == 2 else 0)
