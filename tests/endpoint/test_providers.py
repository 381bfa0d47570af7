"""The dates and limits known beforehand."""

from datetime import date
from importlib import resources

import pytest
import yaml

from exporter.endpoint.providers import MEGABYTE, provider_at
from exporter.errors import FinetuneError


def test_every_fact_has_a_source_and_a_date() -> None:
    text = resources.files("exporter.endpoint").joinpath("providers.yml").read_text()
    for endpoint in yaml.safe_load(text)["endpoints"]:
        assert endpoint["source"]
        assert isinstance(endpoint["read"], date)


@pytest.mark.parametrize(
    ("host", "files", "largest"),
    [
        ("api.openai.com", 512, 8192),
        ("eu.api.openai.com", 512, 8192),
        ("mine.openai.azure.com", 100, 8192),
        ("mine.services.ai.azure.com", 100, 8192),
        ("api.tokenfactory.nebius.com", 5000, 5000),
        ("notapi.openai.com", 512, 8192),
        ("127.0.0.1", 512, 8192),
    ],
)
def test_limits_are_those_of_the_host(host: str, files: int, largest: int) -> None:
    found = provider_at(host)
    assert (found.files_bytes, found.largest_bytes) == (
        files * MEGABYTE,
        largest * MEGABYTE,
    )


def test_a_closing_is_said_sixty_days_before_and_ever_after() -> None:
    openai = provider_at("api.openai.com")
    assert len(openai.notes(date(2026, 11, 6))) == 2
    [*_, note] = openai.notes(date(2026, 11, 22))
    assert note.startswith("OpenAI: no new fine-tuning jobs for anyone from 2027-01-06")
    assert "use Azure / Foundry" in note
    assert len(openai.notes(date(2028, 1, 1))) == 3
    assert provider_at("127.0.0.1").notes(date(2028, 1, 1)) == []


def test_from_the_closing_on_a_job_is_refused_with_what_to_use_instead() -> None:
    openai = provider_at("api.openai.com")
    openai.refuse_closed(date(2027, 1, 5))
    with pytest.raises(FinetuneError) as caught:
        openai.refuse_closed(date(2027, 1, 6))
    assert str(caught.value) == (
        "OpenAI: no new fine-tuning jobs for anyone since 2027-01-06 (OpenAI's "
        "deprecations page and fine-tuning guide, read 2026-11-22); use Azure / "
        "Foundry (until April 2027), Nebius Token Factory or a trainer of your own, "
        "as docs/endpoints.md shows, or try with --ignore-dates"
    )


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("gpt-4.1-mini-2025-04-14", date(2027, 1, 14)),
        ("ft:gpt-4o-2024-08-06:org::1", date(2027, 1, 14)),
        ("gpt-9", None),
    ],
)
def test_a_fine_tune_ends_with_its_model(model: str, end: date | None) -> None:
    assert provider_at("api.openai.com").shutdown(model) == end
    assert provider_at("127.0.0.1").shutdown(model) is None
