"""Fine-tuning jobs: the request for a job, and one job for each request."""

import difflib
import hashlib
import re
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from exporter import __version__, manifest
from exporter.endpoint.client import Endpoint
from exporter.endpoint.errors import NoAnswerError, status_of
from exporter.errors import FinetuneError
from exporter.readers import shutdown_warnings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.fine_tuning import FineTuningJob

# Statuses of a job that ended without a model; with any other status it runs or has
# succeeded. Endpoints other than OpenAI's use the third spelling.
WITHOUT_MODEL = {"failed", "cancelled", "canceled"}

# The keys of a request for the ids of files.
_FILE_KEYS = {
    "training_file": manifest.TRAINING,
    "validation_file": manifest.VALIDATION,
}


def model_notes(endpoint: Endpoint, model: str, today: date) -> list[str]:
    """Return warnings: that the model will be shut down soon, or is not listed.

    Raises:
        FinetuneError: The endpoint has no such model, or it has been shut down.
    """
    notes = []
    shutdown = None
    try:
        models = endpoint.retrying.models
        found = endpoint.call(
            f"retrieving model {model}", lambda: models.retrieve(model)
        )
        shutdown = _date(getattr(found, "shutdown_date", None))
    except NoAnswerError:
        raise
    except FinetuneError as refusal:
        notes = [_check_listed(endpoint, model, refusal)]
    if shutdown and shutdown <= today:
        raise FinetuneError(
            f"{endpoint.name}: {model} was shut down on {shutdown}; choose another "
            "model"
        )
    shutdown = shutdown or endpoint.provider.shutdown(model)
    return notes + shutdown_warnings(model, shutdown, today)


def _check_listed(endpoint: Endpoint, model: str, refusal: FinetuneError) -> str:
    """Return a warning if the model may exist.

    Raises:
        FinetuneError: The endpoint lists other models, or no list can be had.
    """
    try:
        models = endpoint.retrying.models
        found = endpoint.paginate("listing the models", models.list)
        names = [listed.id for listed in found]
    except FinetuneError:
        raise refusal from None
    if model in names:
        return f"{endpoint.name} lists {model}, but does not describe it"
    if not names:
        return f"{endpoint.name} lists no models, so {model} was not checked"
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.5) or names[:3]
    raise FinetuneError(f"{endpoint.name}: no model {model}; it has {', '.join(near)}")


def _date(value: object) -> date | None:
    """Return the date of a shutdown_date: seconds since 1970, or ISO 8601."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, timezone.utc).date()
        return date.fromisoformat(str(value)[:10])
    except (ValueError, OverflowError, OSError):
        return None


def request(
    options: dict[str, Any],
    extra: dict[str, Any],
    export: manifest.Manifest,
    file_ids: list[str],
) -> dict[str, Any]:
    """Return the body of the request, checked against OpenAI's limits.

    Options that are None are left to the endpoint. `extra` maps the path of a key, such
    as "method.type", to its value. The ids are those of the exported files, in the
    order of training and validation.

    Raises:
        FinetuneError: The endpoint would refuse it.
    """
    files = dict(zip(_FILE_KEYS, file_ids, strict=False))
    body = {k: v for k, v in {**files, **options}.items() if v is not None}
    for key, value in extra.items():
        _set_path(body, key.split("."), value)
    given = body.get("metadata", {})
    # Some endpoints accept no metadata.
    if extra.get("metadata", {}) is not None and isinstance(given, dict):
        body["metadata"] = _metadata(body, export) | given
    try:
        msgspec.convert(body, _Request)
    except msgspec.ValidationError as error:
        raise FinetuneError(
            f"the request: {error}; change --suffix or --extra (five keys of metadata "
            "are set by finetune)"
        ) from error
    return body


def _metadata(body: dict[str, Any], export: manifest.Manifest) -> dict[str, str]:
    """Return which bytes become which model, so that an equal request is recognized.

    `request_sha256` is the hash of the request with the hashes of the files in place of
    their ids.
    """
    hashes = {
        key: export.files[name].sha256 if name in export.files else None
        for key, name in _FILE_KEYS.items()
    }
    request = orjson.dumps(body | hashes, option=orjson.OPT_SORT_KEYS)
    return {
        "dataset_sha256": export.files[manifest.TRAINING].sha256,
        "manifest_sha256": export.sha256,
        "request_sha256": hashlib.sha256(request).hexdigest(),
        "git_commit": export.document.get("git_commit") or "unknown",
        "tool": f"finetune-exporter {__version__}",
    }


_Key = Annotated[str, Meta(max_length=64)]
_Value = Annotated[str, Meta(max_length=512)]


class _Request(msgspec.Struct):
    """The limits of a request (OpenAI's API reference, read 2026-11-22)."""

    model: str
    training_file: str
    suffix: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    metadata: Annotated[dict[_Key, _Value], Meta(max_length=16)] = {}


def _set_path(body: dict[str, Any], keys: list[str], value: object) -> None:
    """Set the value at a path of keys; None removes it."""
    *parents, last = keys
    for key in parents:
        child = body.setdefault(key, {})
        if not isinstance(child, dict):
            raise FinetuneError(f"--extra {'.'.join(keys)}: {key} is not an object")
        body = child
    if value is None:
        body.pop(last, None)
    else:
        body[last] = value


def find_equal(
    endpoint: Endpoint, body: dict[str, Any], *, exclude: frozenset[str] = frozenset()
) -> "FineTuningJob | None":
    """Return a job of the same request that runs or has succeeded.

    If the endpoint stores no metadata, compare model, files, suffix and seed.
    """
    for job in _jobs(endpoint):
        without_model = status_of(job) in WITHOUT_MODEL
        if job.id not in exclude and not without_model and _is_equal(job, body):
            return job
    return None


def _jobs(endpoint: Endpoint) -> "Iterator[FineTuningJob]":
    jobs = endpoint.retrying.fine_tuning.jobs
    return endpoint.paginate("listing the jobs", lambda: jobs.list(limit=100))


def _is_equal(job: "FineTuningJob", body: dict[str, Any]) -> bool:
    metadata = getattr(job, "metadata", None)
    if metadata and isinstance(metadata, dict) and "metadata" in body:
        wanted: str = body["metadata"]["request_sha256"]
        return bool(metadata.get("request_sha256") == wanted)
    # The endpoint may return the dated version of the requested model.
    dated = re.escape(body["model"]) + r"(-\d{4}-\d{2}-\d{2})?"
    return bool(
        re.fullmatch(dated, str(job.model))
        and job.training_file == body["training_file"]
        and (job.validation_file or None) == body.get("validation_file")
        and (getattr(job, "seed", None) == body["seed"] if "seed" in body else True)
        and body.get("suffix") in (None, getattr(job, "user_provided_suffix", None))
    )


def create(endpoint: Endpoint, body: dict[str, Any], *, again: bool) -> "FineTuningJob":
    """Create a job once; if the answer is lost, look for it among the jobs.

    With `again`, only jobs that did not exist before count as the created one.

    Raises:
        FinetuneError: The endpoint refuses, or does not list the job.
    """
    before = frozenset(job.id for job in _jobs(endpoint)) if again else frozenset()
    rest = {k: v for k, v in body.items() if k not in ("model", "training_file")}
    try:
        return endpoint.create_once(
            "creating the job",
            lambda: endpoint.without_retries.fine_tuning.jobs.create(
                model=body["model"],
                training_file=body["training_file"],
                extra_body=rest,
            ),
            find=lambda: find_equal(endpoint, body, exclude=before),
            # A repeated request could create a second job, and cost money again.
            may_repeat=lambda _: False,
        )
    except NoAnswerError as error:
        doubt = "" if error.not_executed else "; no such job is listed so far"
        raise FinetuneError(
            f"{error}{doubt}; finetune train looks for it before it creates one"
        ) from None
