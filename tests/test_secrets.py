"""No secret that a command is given or may read is shown, written or listed."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from exporter.engines import embedded
from tests.endpoint.conftest import MODEL
from tests.endpoint.server import Server
from tests.faults.running import Runner
from tests.workspace import DBT, REPOSITORY, Workspace

PLACES = [
    *("PGPASSWORD", "passfile", "service", "profile", "key", "endpoint", "proxy"),
    *("spark", "HF_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY"),
]
SECRETS = {name: f"planted-{number}-secret" for number, name in enumerate(PLACES)}

# It notes the command line of every program that Python starts.
LISTENER = """
import os, sys
def heard(event, arguments):
    if event in ("subprocess.Popen", "os.posix_spawn", "os.exec", "os.system"):
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(os.environ["STARTED"], flags)
        os.write(descriptor, repr(arguments[:2]).encode())
        os.close(descriptor)
sys.addaudithook(heard)
"""


@pytest.fixture
def endpoint() -> Iterator[Server]:
    with Server() as server:
        server.wanted_key = SECRETS["key"]
        server.models[MODEL] = {"id": MODEL, "object": "model", "created": 1}
        server.course = ["succeeded"]
        yield server


def planted(workspace: Workspace, endpoint: Server) -> tuple[dict[str, str], set[Path]]:
    """Return variables, and files, with a secret in each that commands read."""
    folder = workspace.folder
    own = {
        folder / "passfile": f"*:*:*:*:{SECRETS['passfile']}\n",
        folder / "services": f"[shop]\npassword={SECRETS['service']}\n",
        folder / "profiles.yml": (folder / "profiles.yml")
        .read_text()
        .replace("\"{{ env_var('PGPASSWORD', '') }}\"", SECRETS["profile"]),
    }
    for path, text in own.items():
        assert "planted-" in text
        path.write_text(text)
        path.chmod(0o600)
    listener = folder / "listener"
    for made in (listener, folder / "home", folder / "tmp"):
        made.mkdir()
    (listener / "sitecustomize.py").write_text(LISTENER)
    proxy = f"http://ann:{SECRETS['proxy']}@127.0.0.1:9"
    same = ("PGPASSWORD", "HF_TOKEN", "ANTHROPIC_API_KEY", "AWS_SECRET_ACCESS_KEY")
    return {
        **{name: SECRETS[name] for name in same},
        "PGPASSFILE": str(folder / "passfile"),
        "PGSERVICE": "shop",
        "PGSERVICEFILE": str(folder / "services"),
        "OPENAI_API_KEY": SECRETS["key"],
        "OPENAI_BASE_URL": endpoint.url,
        "OPENAI_LOG": "debug",
        "SPARK_REMOTE": f"sc://127.0.0.1:9/;token={SECRETS['spark']}",
        **dict.fromkeys(("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"), proxy),
        "NO_PROXY": "127.0.0.1",
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "PYTHONPATH": str(listener),
        "STARTED": str(folder / "started"),
    }, {*own}


def failing(endpoint: Server) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield commands that fail because of one variable, and what is in it."""
    yield "funnel", {"PGHOST": "/nowhere"}
    yield "load products.csv", {"PGDATABASE": "nothing"}
    yield "funnel", {"PGUSER": "locked"}
    yield "funnel", {"PGSERVICE": "none"}
    yield "export --target spark", {}
    for remote in ("https://127.0.0.1/;token={}", "sc://127.0.0.1:{}", "sc://[{}"):
        yield "export --target spark", {"SPARK_REMOTE": remote.format(SECRETS["spark"])}
    other = f"ann:{SECRETS['endpoint']}"
    for address in (
        *(
            "http://{}@127.0.0.1:9/v1",
            "ftp://{}@x",
            "{}@x",
            "http://{}@[",
            "http://x:{}",
        ),
        endpoint.url.replace("://", "://{}@"),
        f"{endpoint.url}?key={{}}",
    ):
        yield "upload", {"OPENAI_BASE_URL": address.format(other)}
    yield "upload", {"NO_PROXY": ""}
    yield f"train --yes --model {MODEL}", {"NO_PROXY": "", "HTTP_PROXY": f"x://{other}"}
    for command in ("upload", "watch ftjob-1"):
        yield command, {"OPENAI_API_KEY": SECRETS["key"] + "1"}
        yield command, {"OPENAI_API_KEY": SECRETS["key"] + "\n"}


# The rules are read before the file is emptied.
LOCK_OUT = """
do $$
declare
    rules text := pg_read_file(current_setting('hba_file'));
begin
    create role locked login password 'x';
    execute format(
        'copy (select string_to_table(%L, E''\\n'')) to %L',
        'local all locked scram-sha-256' || E'\\n' || rules,
        current_setting('hba_file')
    );
    perform pg_reload_conf();
exception
    when duplicate_object then null;
end $$
"""


@pytest.fixture
def runner(tmp_path: Path) -> Iterator[Runner]:
    warm = Runner(tmp_path)
    yield warm
    warm.close()


def test_no_secret_is_shown_written_or_listed(
    sample: Workspace, endpoint: Server, runner: Runner
) -> None:
    variables, own = planted(sample, endpoint)
    (sample.folder / "products.csv").symlink_to(REPOSITORY / "examples/products.csv")
    if not embedded.connection_is_set():
        sample.sql(LOCK_OUT)
    said: list[tuple[str, str]] = []

    def run(command: str, *, fails: bool = False, **wrong: Any) -> None:  # noqa: ANN401
        # These start programs, or read a variable when they are imported.
        cold = command.startswith(("local run", "export", "upload")) and not fails
        given: dict[str, Any] = variables | wrong
        if cold:
            done = sample.run(
                [sys.executable, "-m", "exporter", *command.split()], **given
            )
            code, text = done.returncode, done.stdout + done.stderr
        else:
            ended = runner.run(sample, *command.split(), variables=given)
            code, text = ended.code, ended.stdout + ended.stderr
        said.append((f"{command} {wrong}", text))
        assert (code, "Traceback" in text) == (int(fails), False), text

    dbt = f"{DBT} --debug test --select stg_finetune__products"
    run("load products.csv --replace")
    run(f"local run -- {dbt} --project-dir dbt_project")
    for command in ("export", "funnel", "diff files files", "check", "report"):
        run(command)
    for command in ("recipe openai", "upload", f"train --yes --model {MODEL}"):
        run(command)
    run(f"watch {' '.join(endpoint.jobs)}")
    run("local start", fails=True)
    # A server may repeat what it was sent.
    endpoint.fail("GET /files", 403, 1, message=SECRETS["key"])
    run("upload", fails=True)
    for command, wrong in failing(endpoint):
        once = " --retries 0" * command.startswith(("upload", "train", "watch"))
        run(command + once, fails=True, **wrong)
    assert "HTTP Request" in dict(said[:12])["upload {}"]
    assert "stg_finetune__products" in (sample.folder / "started").read_text()
    written = {
        path: path.read_bytes()
        for path in sample.folder.rglob("*")
        if path.is_file() and path not in own
    }
    known = {"dbt.log", "train.jsonl", "jobs.jsonl", "report.html", "started"}
    assert known <= {path.name for path in written}
    for place, secret in SECRETS.items():
        for what, text in said:
            assert secret not in text, f"{place} in what {what} says: {text}"
        for path, content in written.items():
            assert secret.encode() not in content, f"{place} in {path}"
