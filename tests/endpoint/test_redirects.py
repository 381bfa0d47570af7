"""A redirect is followed within its origin, never to another one."""

from collections.abc import Iterator

import pytest

from tests.endpoint.conftest import KEY, MODEL, Finetune
from tests.endpoint.raw import Raw, whole
from tests.endpoint.server import Server


@pytest.fixture
def thief() -> Iterator[Raw]:
    """Another origin, which must never get a request."""
    one = Raw(lambda _, __: iter([whole(b'{"id": "file-stolen"}')]))
    yield one
    assert one.requests == []
    one.close()


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    ("command", "route"),
    [
        (["upload"], "GET /files"),
        (["upload"], "POST /files"),
        (["upload", "--parts-above", "0"], "POST /uploads"),
        (["upload", "--parts-above", "0"], "POST /uploads/{upload_id}/parts"),
        (["upload", "--parts-above", "0"], "POST /uploads/{upload_id}/complete"),
        (["train", "--model", MODEL, "--yes"], "POST /fine_tuning/jobs"),
        (["watch", "ftjob-1"], "GET /fine_tuning/jobs/{fine_tuning_job_id}"),
    ],
)
def test_no_redirect_to_another_origin_is_followed(
    server: Server,
    finetune: Finetune,
    thief: Raw,
    command: list[str],
    route: str,
    status: int,
) -> None:
    if command[0] == "train":
        finetune("upload")
    server.redirect(route, status, f"{thief.origin}/v1/x")
    result = finetune(*command, "--retries", "2")
    assert (result.code, result.out) == (1, "")
    assert result.err.count("finetune: ") == 1
    assert f"redirects to {thief.origin}, where nothing was sent" in result.err
    assert KEY not in result.err
    assert server.requests.count(route) == 1
    assert server.open_uploads() == []


@pytest.mark.parametrize(
    "address", ["//localhost:{port}/x", "https://127.0.0.1:{port}/x", "ftp://a/x"]
)
def test_another_host_scheme_or_port_is_another_origin(
    server: Server, finetune: Finetune, address: str
) -> None:
    port = server.url.split(":")[2].split("/")[0]
    server.redirect("POST /files", 307, address.format(port=port))
    result = finetune("upload", "--retries", "1")
    assert (result.code, server.files) == (1, {})
    assert "where nothing was sent; put the right address into" in result.err
    assert server.requests.count("POST /files") == 1


def test_a_redirect_within_the_origin_is_followed_with_the_whole_body(
    server: Server, finetune: Finetune
) -> None:
    server.redirect("POST /files", 307, "/v1/files?again=1", times=1)
    server.redirect("GET /files", 302, f"{server.url}/files?again=1", times=1)
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.out.split()) == (0, list(server.files))
    assert len(server.files) == 2
    server.exchanges.clear()  # The query is not in OpenAI's description.


def test_a_chain_of_redirects_is_not_followed_out_of_the_origin(
    server: Server, finetune: Finetune, thief: Raw
) -> None:
    server.redirect("POST /files", 308, "/v1/files?again=1", times=1)
    server.redirect("POST /files", 307, f"{thief.origin}/v1/files")
    result = finetune("upload", "--retries", "0")
    assert (result.code, server.files) == (1, {})
    assert f"redirects to {thief.origin}" in result.err


def test_a_redirect_loop_ends(server: Server, finetune: Finetune) -> None:
    server.redirect("GET /files", 307, "/v1/files")
    result = finetune("upload", "--retries", "0")
    assert (result.code, result.err.count("\n")) == (1, 1)
    assert "too many redirects" in result.err
    assert len(server.requests) == 10
