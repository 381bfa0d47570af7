"""Closings and shutdowns: when each is reported and refused; the readers of hosts."""

from datetime import date, timedelta

import pytest
from msgspec import convert
from msgspec.structs import replace

from exporter.errors import FinetuneError
from exporter.readers import (
    NOTICE,
    Reader,
    read_readers,
    reader_at,
    readers_by_limit,
)

DAY = date(2030, 5, 1)
BEFORE, AFTER = DAY - timedelta(days=1), DAY + timedelta(days=1)


def reader(*closings: dict[str, object], **more: object) -> Reader:
    """Return a reader of our own making."""
    facts = {
        "title": "A shop",
        "kind": "provider",
        "sources": [
            {"what": "its news", "read": date(2029, 1, 2)},
            {"what": "its guide", "read": date(2029, 1, 3)},
            {"what": "its prices", "read": date(2029, 1, 1)},
        ],
        "closings": [*closings],
        "name": "shop",
    }
    return convert(facts | more, Reader)


CLOSED = {"date": DAY, "what": "no jobs", "state": "closed"}
DEPRECATED = {**CLOSED, "state": "deprecated"}
NOTED = {"date": DAY, "what": "no jobs for some"}
EARLIER = {"date": BEFORE, "what": "fewer models", "state": "deprecated"}


def test_the_latest_source_is_named_with_its_date() -> None:
    assert reader().latest_source() == "its guide, read 2029-01-03"
    assert replace(reader(), sources=[]).latest_source() == ""


@pytest.mark.parametrize(
    ("closings", "today", "state", "closed"),
    [
        ([], DAY, "open", False),
        ([NOTED], AFTER, "open", False),
        ([NOTED], BEFORE, "open", False),
        ([CLOSED], BEFORE, "open, closed from 2030-05-01", False),
        ([CLOSED], DAY, "closed since 2030-05-01", True),
        ([CLOSED], AFTER, "closed since 2030-05-01", True),
        ([DEPRECATED], DAY, "deprecated since 2030-05-01", False),
        ([EARLIER, CLOSED], BEFORE, "deprecated since 2030-04-30", False),
        ([EARLIER, CLOSED], DAY, "closed since 2030-05-01", True),
        ([NOTED, CLOSED], BEFORE, "open, closed from 2030-05-01", False),
        (
            [EARLIER, CLOSED],
            BEFORE - timedelta(days=1),
            "open, deprecated from 2030-04-30",
            False,
        ),
    ],
)
def test_a_state_changes_on_its_date(
    closings: list[dict[str, object]], today: date, state: str, closed: bool
) -> None:
    shop = reader(*closings)
    assert shop.state(today) == state
    assert (shop.closed(today) is not None) is closed


def test_a_closing_is_reported_from_sixty_days_before_its_date() -> None:
    shop = reader(NOTED)
    assert timedelta(days=60) == NOTICE
    assert shop.date_warnings(DAY - timedelta(days=61)) == []
    end = "(its guide, read 2029-01-03); use another endpoint"
    coming = f"A shop: no jobs for some from 2030-05-01 {end}"
    assert shop.date_warnings(DAY - NOTICE) == shop.date_warnings(BEFORE) == [coming]
    gone = f"A shop: no jobs for some since 2030-05-01 {end}"
    assert shop.date_warnings(DAY) == shop.date_warnings(date(2050, 1, 1)) == [gone]
    assert len(reader(NOTED, CLOSED).date_warnings(BEFORE)) == 2
    [alone] = reader(NOTED, CLOSED).date_warnings(DAY)
    assert "no jobs since" in alone


MODELS = {"models": {"base": DAY, "other": AFTER}}


@pytest.mark.parametrize(
    ("closings", "today", "model", "said"),
    [
        ([], AFTER, None, None),
        ([CLOSED], BEFORE, "base", None),
        ([CLOSED], DAY, None, "no jobs since 2030-05-01"),
        ([NOTED], AFTER, None, None),
        ([], DAY, "base", "base was shut down on 2030-05-01"),
        ([], DAY, "ft:base:me::1", "ft:base:me::1 was shut down on 2030-05-01"),
        ([], DAY, "other", None),
        ([], DAY, "unknown", None),
    ],
)
def test_a_closing_or_a_shutdown_refuses_from_its_date(
    closings: list[dict[str, object]], today: date, model: str | None, said: str | None
) -> None:
    shop = reader(*closings, **MODELS)
    if said is None:
        shop.refuse_closed(today, model)
        return
    with pytest.raises(FinetuneError) as caught:
        shop.refuse_closed(today, model)
    assert str(caught.value) == (
        f"A shop: {said} (its guide, read 2029-01-03); use another endpoint, or try "
        "it with --ignore-dates"
    )


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("mine.openai.azure.com", "azure"),
        ("mine.services.ai.azure.com", "azure"),
        ("us-central1-aiplatform.googleapis.com", "gemini"),
        ("api.tokenfactory.nebius.com", "nebius"),
    ],
)
def test_a_host_is_that_of_a_provider(host: str, name: str) -> None:
    assert reader_at(host) == read_readers()[name]


@pytest.mark.parametrize(
    "host", ["notapi.openai.com", "my.api.mistral.ai", "127.0.0.1", "com"]
)
def test_another_host_has_the_limits_of_openai_but_no_dates(host: str) -> None:
    openai = read_readers()["openai"]
    assert openai.closings
    assert reader_at(host) == replace(
        openai, title=host, sources=[], closings=[], instead=[], models={}
    )


@pytest.mark.parametrize(
    ("model", "end"),
    [
        ("gpt-4.1-mini-2025-04-14", date(2027, 1, 14)),
        ("ft:gpt-4o-2024-08-06:org::1", date(2027, 1, 14)),
        ("FT:GPT-4o-2024-08-06:org:name:1:ckpt-step-9", date(2027, 1, 14)),
        (" GPT-4.1-2025-04-14", date(2027, 1, 14)),
        ("gpt-9", None),
    ],
)
def test_a_fine_tune_ends_with_its_model(model: str, end: date | None) -> None:
    assert read_readers()["openai"].shutdown(model) == end


@pytest.mark.parametrize("model", ["base", "ft:base:me::1"])
def test_a_shutdown_is_reported_from_sixty_days_before_its_date(model: str) -> None:
    shop = reader(NOTED, **MODELS)
    coming = f"{model} and its fine-tunes will be shut down on 2030-05-01"
    gone = f"{model} was shut down on 2030-05-01"
    for today, expected in [
        (DAY - timedelta(days=61), []),
        (DAY - NOTICE, [coming]),
        (BEFORE, [coming]),
        (DAY, [gone]),
        (AFTER, [gone]),
    ]:
        without = shop.date_warnings(today)
        assert shop.date_warnings(today, model) == without + expected
        assert shop.date_warnings(today, "unknown") == without


def test_the_closing_date_of_a_provider_names_its_source() -> None:
    for name, page in ("openai", "deprecations"), ("mistral", "docs."):
        [*_, note] = read_readers()[name].date_warnings(date(2027, 1, 6))
        assert page in note


def test_warnings_and_refusals_name_only_readers_that_are_open_that_day() -> None:
    azure = "Azure OpenAI, Microsoft Foundry (finetune recipe azure, until 2027-05-01)"
    trl = "TRL SFTTrainer (finetune recipe trl)"
    closed = {"date": date(2027, 4, 30), "what": "no jobs", "state": "closed"}
    shop = reader(closed, instead=["azure", "trl"], models={"base": date(2027, 4, 30)})
    for day, use in (
        (date(2027, 4, 30), f"use {azure} or {trl}"),
        (date(2027, 5, 1), f"use {trl}"),
    ):
        text = f"A shop: no jobs since 2027-04-30 (its guide, read 2029-01-03); {use}"
        assert shop.date_warnings(day) == [text]
        with pytest.raises(FinetuneError) as caught:
            shop.refuse_closed(day, "base")
        assert str(caught.value) == f"{text}, or try it with --ignore-dates"


def test_the_error_of_a_missing_route_names_the_recipe() -> None:
    reader(routes=["files"]).refuse_route("files")
    with pytest.raises(FinetuneError) as caught:
        reader(routes=["files"]).refuse_route("jobs")
    assert str(caught.value) == (
        "A shop has its own API, not OpenAI's jobs route; see finetune recipe shop, or "
        "set OPENAI_BASE_URL to another endpoint"
    )


def test_alternatives_are_open_readers_with_their_closing_dates() -> None:
    shop = reader(instead=["azure", "nebius", "trl"])
    azure = "Azure OpenAI, Microsoft Foundry (finetune recipe azure, until 2027-05-01)"
    nebius = "Nebius Token Factory (finetune recipe nebius)"
    trl = "TRL SFTTrainer (finetune recipe trl)"
    assert shop.alternatives(date(2027, 4, 30)) == f"use {azure}, {nebius} or {trl}"
    assert shop.alternatives(date(2027, 5, 1)) == f"use {nebius} or {trl}"
    assert reader(instead=["trl"]).alternatives(DAY) == f"use {trl}"


def test_limits_of_a_kind_are_sorted_with_their_readers() -> None:
    readers = {
        name: reader(limits={"tokens": most, "bytes": 1})
        for name, most in (("a", 9), ("b", 7), ("c", 9))
    } | {"d": reader()}
    assert readers_by_limit("tokens", readers) == [(7, ["b"]), (9, ["a", "c"])]
