"""The commands under test: their state before and after.

A new command needs a class of its own here and a line in `SUBJECTS`.
"""

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any, ClassVar

from tests.endpoint.conftest import KEY, MODEL
from tests.endpoint.conftest import export as write_export
from tests.endpoint.server import Server
from tests.faults.running import Ended, Runner
from tests.workspace import Workspace

OLD, NEW, REFUSED, LOST = "old", "new", "refused", "lost"


class Subject:
    """A command in a workspace, with an old state that it replaces."""

    name: ClassVar[str]
    arguments: tuple[str, ...]
    # Whether the command succeeds again after it has succeeded.
    repeats: ClassVar[bool] = True

    def __init__(self, workspace: Workspace, runner: Runner) -> None:
        self.workspace, self.runner = workspace, runner
        self.variables: dict[str, str] = {}

    def prepare(self) -> None:
        """Restore the old state, and remove all that a command left."""
        raise NotImplementedError

    def state(self) -> str:
        """Return the state: old, new, refused by its hashes, or lost."""
        raise NotImplementedError

    def left_over(self) -> list[str]:
        """Return the files that should not exist while no command runs."""
        return sorted(
            str(path.relative_to(self.workspace.folder))
            for pattern in (".*.part", ".upload-*", ".*.tmp", "*.new")
            for path in self.workspace.folder.rglob(pattern)
        )

    def run(self, **plan: Any) -> Ended:  # noqa: ANN401
        return self.run_with(**plan)

    def run_with(self, *options: str, **plan: Any) -> Ended:  # noqa: ANN401
        variables = self.variables | plan.pop("variables", {})
        return self.runner.run(
            self.workspace, *self.arguments, *options, variables=variables, **plan
        )


def digests(folder: Path) -> dict[str, str]:
    """Return the hash of each file of an export except the manifest."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.glob("[!.]*.jsonl"))
    }


class Export(Subject):
    """An export that replaces one of other rows, which had a validation file."""

    name = "export"
    arguments: tuple[str, ...] = ("export", "--system-prompt", "Be new.")

    def __init__(self, workspace: Workspace, runner: Runner) -> None:
        super().__init__(workspace, runner)
        self._files = workspace.folder / "files"
        self._before = workspace.folder / "before"
        write_export(self._before, [f"title {n}" for n in range(12)], ["a", "b"])
        ended = self.run()
        assert ended.code == 0, ended.stderr
        self._sets = {OLD: digests(self._before), NEW: digests(self._files)}
        assert "valid.jsonl" in self._sets[OLD].keys() - self._sets[NEW].keys()

    def prepare(self) -> None:
        shutil.rmtree(self._files, ignore_errors=True)
        shutil.copytree(self._before, self._files)

    def state(self) -> str:
        found = digests(self._files)
        recorded = json.loads((self._files / "manifest.json").read_bytes())["files"]
        promised = {name: facts["sha256"] for name, facts in recorded.items()}
        for state, whole in self._sets.items():
            if found == promised == whole:
                return state
        checked = self.runner.run(self.workspace, "check")
        named = "in the manifest" in checked.stdout
        return (
            REFUSED if checked.code == 1 and named and self._upload_refuses() else LOST
        )

    def _upload_refuses(self) -> bool:
        """Return whether upload refuses the files, or would send a complete set."""
        sent = {"train.jsonl", "valid.jsonl"}
        recorded = json.loads((self._files / "manifest.json").read_bytes())["files"]
        promised = {n: f["sha256"] for n, f in recorded.items() if n in sent}
        found = digests(self._files)
        if promised == {name: found.get(name) for name in promised}:
            return any(
                promised == {n: h for n, h in whole.items() if n in sent}
                for whole in self._sets.values()
            )
        variables = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"}
        ended = self.runner.run(self.workspace, "upload", variables=variables)
        return ended.code == 1 and "in the manifest; run finetune export" in (
            ended.stderr
        )


class Load(Subject):
    """A load that replaces rows, and writes bad lines to a file."""

    name = "load"
    arguments = ("load", "new.jsonl", "--replace", "--rejects", "bad.jsonl")
    rows: ClassVar[dict[str, int]] = {OLD: 50, NEW: 300}

    def __init__(self, workspace: Workspace, runner: Runner) -> None:
        super().__init__(workspace, runner)
        for state, count in self.rows.items():
            lines = [
                {"uid": f"{state}-{n}", "title": f"lamp {n % 7}", "content": "é" * 90}
                for n in range(count)
            ]
            text = "".join(f"{json.dumps(line)}\n" for line in lines)
            (workspace.folder / f"{state}.jsonl").write_text(f"{text}bad\n")

    def prepare(self) -> None:
        (self.workspace.folder / "bad.jsonl").unlink(missing_ok=True)
        for path in self.left_over():
            (self.workspace.folder / path).unlink()
        with self.workspace.connect() as connection:
            connection.execute("drop table if exists product")
            connection.execute(
                "create table product as select 'old-' || n as uid,"
                " 'lamp ' || n % 7 as title, 'old' as content"
                " from generate_series(0, 49) n"
            )

    def state(self) -> str:
        found = self.workspace.sql(
            "select split_part(uid, '-', 1), count(*)::int, count(distinct uid)::int"
            " from product group by 1"
        )
        for state, count in self.rows.items():
            if found == [(state, count, count)]:
                return state
        return LOST


class Upload(Subject):
    """An upload of two files; neither must be at the endpoint twice."""

    name = "upload"
    arguments: tuple[str, ...] = ("upload",)

    def __init__(self, workspace: Workspace, runner: Runner, server: Server) -> None:
        super().__init__(workspace, runner)
        self.server = server
        self.variables = {
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": server.url,
            # Without TLS; loading all certificates is slow.
            "SSL_CERT_DIR": str(workspace.folder),
        }
        self._files = workspace.folder / "files"
        write_export(self._files, [f"title {n}" for n in range(12)], ["a", "b"])

    def prepare(self) -> None:
        for path in self.left_over():
            (self.workspace.folder / path).unlink()
        for held in (self.server.files, self.server.uploads, self.server.jobs):
            held.clear()
        self.server.contents.clear()
        self.server.faults.clear()
        self.server.requests.clear()
        self.server.exchanges.clear()
        self.server.reached.clear()

    def state(self) -> str:
        names = [file["filename"] for file in self.server.files.values()]
        whole = digests(self._files)
        wanted = {
            f"{Path(name).stem}-{digest[:12]}.jsonl": digest
            for name, digest in whole.items()
        }
        there = {
            file["filename"]: self.server.contents[file_id]
            for file_id, file in self.server.files.items()
        }
        if len(names) != len(there) or not there.items() <= wanted.items():
            return LOST
        return NEW if there == wanted else OLD


class UploadInParts(Upload):
    """The same upload, each file in parts."""

    name = "upload in parts"
    arguments = ("upload", "--parts-above", "0", "--part-size", "0.0007")


class Train(Upload):
    """A job for uploaded files; it costs money, so there must not be a second one."""

    name = "train"
    arguments = ("train", "--model", MODEL, "--yes")

    def prepare(self) -> None:
        super().prepare()
        self.server.models[MODEL] = {"id": MODEL, "object": "model", "created": 1}
        for name, digest in digests(self._files).items():
            path = self._files / name
            there = f"{path.stem}-{digest[:12]}.jsonl"
            self.server.add_file(there, path.stat().st_size, digest)

    def state(self) -> str:
        if super().state() != NEW or len(self.server.jobs) > 1:
            return LOST
        return NEW if self.server.jobs else OLD


class Init(Subject):
    """A new project folder: complete, or completed by a repeat."""

    name = "init"
    arguments = ("init", "shop")
    repeats = False

    def prepare(self) -> None:
        shutil.rmtree(self.workspace.folder / "shop", ignore_errors=True)

    def state(self) -> str:
        folder = self.workspace.folder / "shop"
        files = [path for path in folder.rglob("*") if path.is_file()]
        if not files or folder / ".finetune-init.part" in files:
            return OLD
        return NEW if len(files) > 40 else LOST


class Report(Subject):
    """The page and the card of an export; each is complete; a repeat writes both."""

    name = "report"
    arguments = ("report", "-o", "reported")

    def __init__(self, workspace: Workspace, runner: Runner) -> None:
        super().__init__(workspace, runner)
        self._files = workspace.folder / "reported"
        if not self._files.exists():
            ended = runner.run(workspace, "export", "-o", "reported")
            assert ended.code == 0, ended.stderr
        self._texts = {}
        for state, options in ((OLD, ("--license", "mit", "--epochs", "7")), (NEW, ())):
            ended = self.run_with(*options)
            assert ended.code == 0, ended.stderr
            self._texts[state] = self._read()
        # If the build cannot be read, it reports that and omits the samples.
        ended = self.run_with(variables={"PGHOST": "/nowhere"})
        assert "no samples of dropped rows: " in ended.stderr
        self._bare = self._read()
        old, new = self._texts.values()
        assert all(text != new[name] for name, text in old.items())

    def _read(self) -> dict[str, str]:
        names = ("report.html", "README.md")
        return {name: (self._files / name).read_text() for name in names}

    def prepare(self) -> None:
        for path in self.left_over():
            (self.workspace.folder / path).unlink()
        for name, text in self._texts[OLD].items():
            (self._files / name).write_text(text)

    def state(self) -> str:
        found = self._read()
        if found in (self._texts[NEW], self._bare):
            return NEW
        texts = self._texts.values()
        whole = all(text in [t[name] for t in texts] for name, text in found.items())
        return OLD if whole else LOST


SUBJECTS: dict[str, type[Subject]] = {
    kind.name: kind
    for kind in (Export, Load, Upload, UploadInParts, Train, Report, Init)
}
