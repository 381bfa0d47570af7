"""The last build of a dbt project, for the commands that read it."""

from pathlib import Path

import click

from exporter import artifacts, dataset
from exporter.artifacts import Build
from exporter.display import visible
from exporter.engines import postgres, spark
from exporter.errors import FinetuneError
from exporter.export import OpenSnapshot

SNAPSHOTS: dict[str, OpenSnapshot] = {
    "postgres": postgres.open_snapshot,
    "spark": spark.open_snapshot,
}


def find_build(
    name: str | None, *, project_dir: Path, target_path: Path | None, target: str
) -> tuple[Build, bool]:
    """Return the build of the named or only data set, and whether it is the only one.

    Raises:
        FinetuneError: dbt has built nothing, or on another engine, or the project
            has no data set.
        click.UsageError: There is no such data set, or several and no name is given.
    """
    found = artifacts.read_artifacts(project_dir, target_path or project_dir / "target")
    if found.engine != target:
        raise FinetuneError(
            f"dbt built on {found.engine}, but --target is {target}; give --target "
            f"{found.engine}, or run dbt build"
        )
    names = sorted(dataset.declared(found.manifest))
    if not names:
        raise FinetuneError(
            f"{project_dir}: no exposure has the key config.meta.finetune; "
            "declare a data set as docs/datasets.md shows and run dbt build"
        )
    if name is None and len(names) > 1:
        raise click.UsageError(
            f"the project has several data sets; name one: {', '.join(names)}"
        )
    if name is not None and name not in names:
        raise click.UsageError(
            f"no data set {visible(name)}; the project has {', '.join(names)}"
        )
    return artifacts.read_build(found, name or names[0]), len(names) == 1
