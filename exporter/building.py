"""dbt build before an export: one start of dbt, and no data test run twice.

The tests of the gate run in its snapshot, so the build leaves them out and only
compiles them. The only part that imports dbt, in a process of its own.
"""

import gc
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from exporter import dataset
from exporter.artifacts import Artifacts, read_build
from exporter.errors import FinetuneError
from exporter.signals import handle_stops

if TYPE_CHECKING:
    from dbt.contracts.graph.manifest import Manifest

STOPPED = 130


def command(
    name: str | None,
    *,
    project_dir: Path,
    target_path: Path | None,
    target: str,
    gate: bool,
) -> list[str]:
    """Return the command that builds for the export of a data set.

    Where there is a gate, its tests are left to it. The command exits 1 when dbt
    did not build, which dbt explains, and `STOPPED` after a signal.
    """
    options = ["--project-dir", str(project_dir), "--target", target]
    if target_path:
        options += ["--target-path", str(target_path.absolute())]
    tests = "once" if gate else "all"
    return [sys.executable, "-m", "exporter.building", tests, name or "", *options]


def _build(tests: str, name: str, *options: str) -> None:
    # What dbt imports and parses stays to the end; to look through it again and
    # again for what can be thrown away takes a fifth of the time of a small build.
    gc.disable()
    parsed = _dbt("parse", *options, "--no-write-json")  # The build writes it.
    gc.freeze()
    gc.enable()
    manifest = parsed.writable_manifest().to_dict()
    found = _tests_of_the_gate(manifest, name) if tests == "once" else []
    _dbt("build", *options, *(["--exclude", *found] if found else []), manifest=parsed)
    if found:
        # Not before the build: a test may be made of the columns of what it tests.
        _dbt("compile", *options, "--select", "resource_type:test", manifest=parsed)


def _dbt(*arguments: str, manifest: "Manifest | None" = None) -> "Manifest":
    """Run a command of dbt, which says what is wrong; return the manifest.

    Raises:
        SystemExit: It did not end well.
    """
    from dbt.cli.exceptions import DbtUsageException  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  # It takes two seconds.

    done = dbtRunner(manifest).invoke(["--quiet", *arguments])
    if isinstance(done.exception, DbtUsageException):
        raise SystemExit(str(done.exception))  # Of these alone it says nothing.
    if not done.success:
        stopped = isinstance(done.exception, KeyboardInterrupt)
        raise SystemExit(STOPPED if stopped else 1)
    return manifest or cast("Manifest", done.result)


def _tests_of_the_gate(manifest: dict[str, Any], name: str) -> list[str]:
    """Return dbt's selectors of the tests that the gate will run.

    None where the build has to run all: the data set is not known yet,
    or the project has a default selector, which `--exclude` would switch off.
    """
    names = [*dataset.declared(manifest)]
    by_default = any(s.get("default") for s in manifest["selectors"].values())
    if by_default or (name not in names if name else len(names) != 1):
        return []
    found = Artifacts(Path(), Path(), manifest, {})
    try:
        build = read_build(found, name or names[0])
    except FinetuneError:
        return []  # The export will say it.
    all_names = [node["fqn"] for node in manifest["nodes"].values()]
    selectors = []
    for test in build.tests:
        fqn = found.node(test.unique_id)["fqn"]
        # A folder of the same name would be left out with all that is in it.
        if [other[: len(fqn)] for other in all_names].count(fqn) == 1:
            selectors.append(f"fqn:{'.'.join(fqn)}")
    return selectors


def _stop(_: int, __: FrameType | None) -> None:
    """Have dbt cancel its queries on the server, in ten seconds, without a word."""
    handle_stops(signal.SIG_IGN)
    signal.alarm(10)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise KeyboardInterrupt


if __name__ == "__main__":
    handle_stops(_stop)
    try:
        _build(*sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(STOPPED) from None
