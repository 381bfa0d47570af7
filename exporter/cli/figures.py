"""What `finetune check --tokens` says of a file: tokens, long examples, the bill."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import orjson

from exporter.checking.rules import Fault, Finding, Rules, as_utf8
from exporter.display import visible
from exporter.tokens import Tally


class Bill(NamedTuple):
    """How often the data is trained on, and what a million tokens cost."""

    epochs: int
    price: float | None


def too_long(path: Path, tally: Tally, rules: Rules) -> Iterator[Finding | None]:
    """Yield a finding for each limit that examples exceed.

    A bound does not prove that an example is too long.
    """
    for limit, readers in rules.limits("tokens") if tally.counter.exact else ():
        above = tally.above(limit)
        if above:
            detail = f"examples of more than {limit:,} tokens: {above:,}"
            fault = Fault("too-many-tokens", detail=detail)
            yield rules.finding(fault, path, readers=readers)


def shown(
    path: Path, tally: Tally, rules: Rules, bill: Bill, *, as_json: bool
) -> str | bytes:
    """Return the figures as text, or as JSON with the keys of a finding, and tokens."""
    if as_json:
        return _as_json(path, tally)
    return "\n".join(map(visible, _as_lines(path, tally, rules, bill)))


def _as_json(path: Path, tally: Tally) -> bytes:
    half, ninety, most = tally.percentiles(50, 90, 99)
    figures = {
        **tally.facts(),
        "percentiles": {"50": half, "90": ninety, "99": most},
        "longest_lines": [line for _, line in tally.longest()],
    }
    count = "tokens" if figures["exact"] else "tokens at most"
    message = (
        f"{figures['total']:,} {count}, the longest example {figures['longest']:,}"
    )
    finding = Finding(as_utf8(path), None, None, "tokens", "info", [], message, "")
    return orjson.dumps({**finding._asdict(), "tokens": figures})


def _as_lines(path: Path, tally: Tally, rules: Rules, bill: Bill) -> list[str]:
    at_most = "" if tally.counter.exact else "at most "
    total, longest = tally.total, tally.longest()
    share = 100 * tally.system / total
    half, ninety, most = tally.percentiles(50, 90, 99)
    split = "validation" if path.stem == "valid" else "train"
    uids = first_uids(
        path.with_name("clean.jsonl"), split, [line for _, line in longest]
    )
    trained = total * bill.epochs
    last = f"  trained in {bill.epochs} epochs: {at_most}{trained:,} tokens"
    if bill.price is not None:
        cost = f"{trained * bill.price / 1e6:,.2f} at {bill.price:g} a million"
        last += f", {at_most}{cost}"
    return [
        f"{path}: {at_most}{total:,} tokens ({tally.counter.encoding})",
        f"  an example: half {half:,}, 90 % {ninety:,}, 99 % {most:,} or less",
        *(
            f"  line {line}: {size:,} tokens"
            + (f", uid {uids[line]}" if line in uids else "")
            for size, line in longest
        ),
        *(
            f"  over {limit:,} ({', '.join(readers)}): {tally.above(limit):,}"
            for limit, readers in rules.limits("tokens")
        ),
        f"  system prompt: {tally.system:,} tokens, {share:.0f} % of the bill",
        last,
    ]


def first_uids(clean: Path, split: str, lines: Sequence[int]) -> dict[int, str]:
    """Return the first uid of the pairs on these lines of a split's file.

    Line n of a split is its n-th pair in clean.jsonl. Without that file, or
    where a pair has no uid, there is nothing to show.
    """
    if not clean.is_file():
        return {}
    with clean.open("rb") as file:
        rows = (row for row in map(json.loads, file) if row.get("split") == split)
        uids = {n: row.get("first_uid") for n, row in enumerate(rows, 1) if n in lines}
    return {line: uid for line, uid in uids.items() if uid is not None}
