"""Fine-tuning jobs: the request for one, and one job for each request."""

import difflib
import hashlib
import re
from datetime import date, datetime, timezone
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import orjson
from msgspec import Meta

from exporter import __version__
from exporter.endpoint.client import Endpoint, NoAnswerError
from exporter.endpoint.source import Source
from exporter.errors import FinetuneError
from exporter.manifest import Manifest
from exporter.readers import ending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from openai.types.fine_tuning import FineTuningJob

# Jobs that ended without a model; whatever else is alive or has succeeded. The
# third spelling is for endpoints other than OpenAI's.
WITHOUT_MODEL = {"failed", "cancelled", "canceled"}

_FILES = ("training_file", "validation_file")


def model_notes(endpoint: Endpoint, model: str, today: date) -> list[str]:
    """Return what to say of the model: that it ends soon, or is not listed.

    Raises:
        FinetuneError: The endpoint has no such model, or it has been shut down.
    """
    notes = []
    shutdown = None
    try:
        look = endpoint.patient.models.retrieve
        found = endpoint.ask(f"looking for model {model}", look, model)
        shutdown = _date(getattr(found, "shutdown_date", None))
    except NoAnswerError:
        raise
    except FinetuneError as refusal:
        notes = [_unlisted(endpoint, model, refusal)]
    if shutdown and shutdown <= today:
        raise FinetuneError(
            f"{endpoint.name}: {model} was shut down on {shutdown}; choose another "
            "model"
        )
    shutdown = shutdown or endpoint.provider.shutdown(model)
    return notes + ending(model, shutdown, today)


def _unlisted(endpoint: Endpoint, model: str, refusal: FinetuneError) -> str:
    """Return a note if the endpoint lists no models at all, else refuse."""
    try:
        models = endpoint.listed("listing the models", endpoint.patient.models.list)
        names = [found.id for found in models]
    except FinetuneError:
        raise refusal from None
    if model in names:
        return f"{endpoint.name} lists {model}, but does not describe it"
    if not names:
        return f"{endpoint.name} lists no models, so {model} was not checked"
    near = difflib.get_close_matches(model, names, n=3, cutoff=0.5) or names[:3]
    raise FinetuneError(f"{endpoint.name}: no model {model}; it has {', '.join(near)}")


def _date(value: object) -> date | None:
    """Return the day of a shutdown_date, seconds since 1970 or ISO 8601."""
    try:
        if isinstance(value, int | float):
            return datetime.fromtimestamp(value, timezone.utc).date()
        return date.fromisoformat(str(value)[:10])
    except (ValueError, OverflowError, OSError):
        return None


def request(
    wanted: dict[str, Any],
    extra: dict[str, Any],
    manifest: Manifest,
    sources: list[Source],
    file_ids: list[str],
) -> dict[str, Any]:
    """Return the body of the request, checked against OpenAI's limits.

    Of `wanted`, what is None is the endpoint's choice; `extra` has values by the path
    of their key.

    Raises:
        FinetuneError: The endpoint would refuse it.
    """
    files = dict(zip(_FILES, file_ids, strict=False))
    body = {k: v for k, v in {**files, **wanted}.items() if v is not None}
    for key, value in extra.items():
        _put(body, key.split("."), value)
    given = body.get("metadata", {})
    # Some endpoints take none.
    if extra.get("metadata", {}) is not None and isinstance(given, dict):
        body["metadata"] = _metadata(body, manifest, sources) | given
    try:
        msgspec.convert(body, _Request)
    except msgspec.ValidationError as error:
        raise FinetuneError(
            f"the request: {error}; change --suffix or --extra (five keys of metadata "
            "are ours)"
        ) from error
    return body


def _metadata(
    body: dict[str, Any], manifest: Manifest, sources: list[Source]
) -> dict[str, str]:
    """Return which bytes were asked to become which model.

    So an equal request is known again: `request_sha256` is of everything but the ids
    of the files, which are told apart by their bytes.
    """
    hashes = [source.facts.sha256 for source in sources]
    named = dict.fromkeys(_FILES) | dict(zip(_FILES, hashes, strict=False))
    request = orjson.dumps(body | named, option=orjson.OPT_SORT_KEYS)
    return {
        "dataset_sha256": hashes[0],
        "manifest_sha256": manifest.sha256,
        "request_sha256": hashlib.sha256(request).hexdigest(),
        "git_commit": manifest.document.get("git_commit") or "unknown",
        "tool": f"finetune-exporter {__version__}",
    }


_Key = Annotated[str, Meta(max_length=64)]
_Value = Annotated[str, Meta(max_length=512)]


class _Request(msgspec.Struct):
    """What a request has, and its bounds (OpenAI's API reference, read 2026-11-22)."""

    model: str
    training_file: str
    suffix: Annotated[str, Meta(min_length=1, max_length=64)] | None = None
    metadata: Annotated[dict[_Key, _Value], Meta(max_length=16)] = {}


def _put(body: dict[str, Any], keys: list[str], value: object) -> None:
    """Set a value at the path of keys; null takes it away."""
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
    endpoint: Endpoint, body: dict[str, Any], *, besides: frozenset[str] = frozenset()
) -> "FineTuningJob | None":
    """Return a job of the same request that is alive or has succeeded.

    Where an endpoint keeps no metadata, model, files, suffix and seed decide.
    """
    for job in _jobs(endpoint):
        if (
            job.id not in besides
            and str(job.status) not in WITHOUT_MODEL
            and _is_equal(job, body)
        ):
            return job
    return None


def _jobs(endpoint: Endpoint) -> "Iterator[FineTuningJob]":
    listing = endpoint.patient.fine_tuning.jobs.list
    return endpoint.listed("listing the jobs", listing, limit=100)


def _is_equal(job: "FineTuningJob", body: dict[str, Any]) -> bool:
    metadata = getattr(job, "metadata", None)
    if metadata and isinstance(metadata, dict) and "metadata" in body:
        ours: str = body["metadata"]["request_sha256"]
        return bool(metadata.get("request_sha256") == ours)
    # An endpoint may name the dated version of the model that was asked for.
    dated = re.escape(body["model"]) + r"(-\d{4}-\d{2}-\d{2})?"
    return bool(
        re.fullmatch(dated, str(job.model))
        and job.training_file == body["training_file"]
        and (job.validation_file or None) == body.get("validation_file")
        and (getattr(job, "seed", None) == body["seed"] if "seed" in body else True)
        and body.get("suffix") in (None, getattr(job, "user_provided_suffix", None))
    )


def create(endpoint: Endpoint, body: dict[str, Any], *, again: bool) -> "FineTuningJob":
    """Create a job, once; if the answer is lost, look for it among the jobs.

    With `again`, jobs that were there before are not taken for it.

    Raises:
        FinetuneError: The endpoint refuses, or no job of the request is listed.
    """
    before = frozenset(job.id for job in _jobs(endpoint)) if again else frozenset()
    rest = {k: v for k, v in body.items() if k not in ("model", "training_file")}
    try:
        return endpoint.deliver(
            "creating the job",
            lambda: endpoint.once.fine_tuning.jobs.create(
                model=body["model"],
                training_file=body["training_file"],
                extra_body=rest,
            ),
            arrived=lambda: find_equal(endpoint, body, besides=before),
            # It would be a second job, and paid for.
            repeat=lambda _: False,
        )
    except NoAnswerError as error:
        doubt = "" if error.not_done else "; no such job is listed so far"
        raise FinetuneError(
            f"{error}{doubt}; finetune train looks for it before it creates one"
        ) from None
