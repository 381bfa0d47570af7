"""Models that are unknown, unlisted, shut down or near their end."""

from datetime import date, timedelta

import pytest

from tests.endpoint.conftest import MODEL, Finetune
from tests.endpoint.server import Server


def test_an_unknown_model_is_refused_with_similar_names(
    server: Server, finetune: Finetune
) -> None:
    finetune("upload")
    result = finetune("train", "--model", "gpt-4.1-mini", "--yes")
    assert (result.code, server.jobs) == (1, {})
    assert f"no model gpt-4.1-mini; it has {MODEL}" in result.err


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("gpt-4.1-min", "it has gpt-4.1-mini, gpt-4.1-nano, gpt-4.1\n"),
        ("qqq", "it has zeta-8, gpt-4.1-large, gpt-4.1-nano\n"),
    ],
)
def test_the_three_most_similar_or_the_first_models_are_named(
    server: Server, finetune: Finetune, model: str, message: str
) -> None:
    # The server lists them in reverse order.
    names = ["zeta-9", "gpt-4.1", "gpt-4.1-mini", "gpt-4.1-nano", "gpt-4.1-large"]
    names += ["zeta-8"]
    server.models = {name: {"id": name, "object": "model"} for name in names}
    result = finetune("upload", "--model", model)
    assert (result.code, server.files) == (1, {})
    assert result.err.endswith(f"no model {model}; {message}")
    server.exchanges.clear()  # The description requires more keys of a model.


def test_an_endpoint_that_lists_no_models_is_trusted(
    server: Server, finetune: Finetune
) -> None:
    server.models.clear()
    finetune("upload")
    result = finetune("train", "--model", "llama", "--yes")
    assert result.code == 0
    assert "lists no models, so llama was not checked" in result.err


@pytest.mark.parametrize("gone", ["2026-01-31", "2026-01-31T00:00:00Z", 1769817600])
def test_a_model_that_was_shut_down_is_refused(
    server: Server, finetune: Finetune, gone: object
) -> None:
    server.models[MODEL]["shutdown_date"] = gone
    finetune("upload")
    result = finetune("train", "--model", MODEL, "--yes")
    assert (result.code, server.jobs) == (1, {})
    assert f"{MODEL} was shut down on 2026-01-31" in result.err


@pytest.mark.parametrize(
    ("days", "warned"), [(0, None), (1, True), (60, True), (61, False)]
)
def test_a_model_that_ends_within_sixty_days_gets_a_warning(
    server: Server, finetune: Finetune, days: int, warned: bool | None
) -> None:
    finetune("upload")
    end = date.today() + timedelta(days=days)  # noqa: DTZ011  # As the command asks.
    server.models[MODEL]["shutdown_date"] = end.isoformat()
    result = finetune("train", "--model", MODEL, "--dry-run")
    if warned is None:
        assert (result.code, server.jobs) == (1, {})
        assert f"{MODEL} was shut down on {end}; choose another model" in result.err
    else:
        assert result.code == 0
        note = f"{MODEL} and its fine-tunes will be shut down on {end}"
        assert (note in result.err) is warned
        uploaded = finetune("upload", "--model", MODEL)
        assert (f"warning: {note}" in uploaded.err) is warned
