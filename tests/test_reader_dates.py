"""Closings and shutdowns: from which date each is reported and refused."""

from datetime import date, timedelta

import pytest
from msgspec import convert
from msgspec.structs import replace

from exporter.errors import FinetuneError
from exporter.readers import NOTICE, Reader, readers_by_limit

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
