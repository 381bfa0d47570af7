"""dbt build before an export: dbt starts once, and each data test runs once.

The gate runs its tests in the snapshot of the export, so the build excludes them and
only compiles them. This module alone imports dbt, and runs in a process of its own.
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

# With `-m`, Python would look for modules in the current folder first: a user may have
# an `exporter` there, too, or a `signal.py`. `__file__` is for PySpark, which takes a
# main module without it for a doctest, and ends.
_PROGRAM = (
    "import sys; sys.path = [*filter(None, sys.path)];"
    "from exporter.building import __file__, main; main()"
)


def command(
    name: str | None,
    *,
    project_dir: Path,
    target_path: Path | None,
    target: str,
    gate: bool,
) -> list[str]:
    """Return the command that builds the project for the export of a data set.

    With `gate`, the build excludes the tests of the gate. The command exits with 1 if
    the build fails, after dbt has printed why, and with `STOPPED` after a signal.
    """
    options = ["--project-dir", str(project_dir), "--target", target]
    if target_path:
        options += ["--target-path", str(target_path.absolute())]
    tests = "once" if gate else "all"
    return [sys.executable, "-c", _PROGRAM, tests, name or "", *options]


def _build(tests: str, name: str, *options: str) -> None:
    # Without this, the garbage collector scans all that dbt imports and parses again
    # and again: a fifth of the time of a small build.
    gc.disable()
    parsed = _dbt("parse", *options, "--no-write-json")  # The build writes it.
    gc.freeze()
    gc.enable()
    manifest = parsed.writable_manifest().to_dict()
    gate_tests = _gate_test_selectors(manifest, name) if tests == "once" else []
    excluded = ["--exclude", *gate_tests] if gate_tests else []
    _dbt("build", *options, *excluded, manifest=parsed)
    if gate_tests:
        # After the build, because a test may query the columns of the model it tests.
        _dbt("compile", *options, "--select", "resource_type:test", manifest=parsed)


def _dbt(*arguments: str, manifest: "Manifest | None" = None) -> "Manifest":
    """Run a command of dbt, which prints its errors; return the manifest.

    Raises:
        SystemExit: The command failed.
    """
    from dbt.cli.exceptions import DbtUsageException  # noqa: PLC0415
    from dbt.cli.main import dbtRunner  # noqa: PLC0415  # Two seconds.

    done = dbtRunner(manifest).invoke(["--quiet", *arguments])
    if isinstance(done.exception, DbtUsageException):
        raise SystemExit(str(done.exception))  # The only errors not printed.
    if not done.success:
        stopped = isinstance(done.exception, KeyboardInterrupt)
        raise SystemExit(STOPPED if stopped else 1)
    return manifest or cast("Manifest", done.result)


def _gate_test_selectors(manifest: dict[str, Any], name: str) -> list[str]:
    """Return dbt's selectors of the tests that the gate will run.

    The list is empty if the build has to run all tests: the data set is unknown, or
    the project has a default selector, which `--exclude` would switch off.
    """
    names = [*dataset.declared(manifest)]
    by_default = any(s.get("default") for s in manifest["selectors"].values())
    if by_default or (name not in names if name else len(names) != 1):
        return []
    found = Artifacts(Path(), Path(), manifest, {})
    try:
        build = read_build(found, name or names[0])
    except FinetuneError:
        return []  # The export reports the error.
    all_names = [node["fqn"] for node in manifest["nodes"].values()]
    selectors = []
    for test in build.tests:
        fqn = found.node(test.unique_id)["fqn"]
        # A selector that is also the name of a folder would exclude all tests in it.
        if [other[: len(fqn)] for other in all_names].count(fqn) == 1:
            selectors.append(f"fqn:{'.'.join(fqn)}")
    return selectors


def _stop(_: int, __: FrameType | None) -> None:
    """Let dbt cancel its queries on the server within ten seconds, without output."""
    handle_stops(signal.SIG_IGN)
    signal.alarm(10)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    raise KeyboardInterrupt


def main() -> None:
    """Run the command, of which `sys.argv` has the arguments."""
    handle_stops(_stop)
    try:
        _build(*sys.argv[1:])
    except KeyboardInterrupt:
        raise SystemExit(STOPPED) from None
