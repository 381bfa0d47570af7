"""The report of `finetune check --tokens` on a file: counts, long examples, cost."""

import json
from collections.abc import Sequence
from pathlib import Path

import orjson

from exporter.checking.rules import Fault, Finding, OnFinding, Rules, as_utf8
from exporter.display import counted, visible
from exporter.tokens import Tally, percentiles


def report_long_examples(
    path: Path, tally: Tally, rules: Rules, on_finding: OnFinding
) -> None:
    """Report each limit that examples exceed.

    An upper bound does not prove that an example is too long, so nothing is reported.
    """
    for limit, readers in rules.limits("tokens") if tally.counter.exact else ():
        above = tally.above(limit)
        if above:
            detail = f"examples of more than {limit:,} tokens: {above:,}"
            fault = Fault("too-many-tokens", detail=detail)
            rules.report(on_finding, fault, path, readers=readers)


def as_json(path: Path, tally: Tally) -> bytes:
    """Return the report as JSON: the keys of a finding, and `tokens`."""
    half, ninety, most = percentiles(tally.counts, 50, 90, 99)
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


def as_text(
    path: Path, tally: Tally, rules: Rules, *, epochs: int, price: float | None
) -> str:
    """Return the report as text; `price` is the cost of a million tokens."""
    at_most = "" if tally.counter.exact else "at most "
    total, longest = tally.total, tally.longest()
    share = 100 * tally.system / total
    half, ninety, most = percentiles(tally.counts, 50, 90, 99)
    split = "validation" if path.stem == "valid" else "train"
    uids = first_uids(
        path.with_name("clean.jsonl"), split, [line for _, line in longest]
    )
    trained = total * epochs
    last = f"  trained in {counted(epochs, 'epoch')}: {at_most}{trained:,} tokens"
    if price is not None:
        cost = f"{trained * price / 1e6:,.2f} at {price:g} per million"
        last += f", {at_most}{cost}"
    lines = [
        f"{path}: {at_most}{total:,} tokens ({tally.counter.encoding})",
        f"  per example: 50 % have {half:,} or less, 90 % {ninety:,}, 99 % {most:,}",
        *(
            f"  line {line}: {size:,} tokens"
            + (f", uid {uids[line]}" if line in uids else "")
            for size, line in longest
        ),
        *(
            f"  over {limit:,} ({', '.join(readers)}): {tally.above(limit):,}"
            for limit, readers in rules.limits("tokens")
        ),
        f"  system prompt: {tally.system:,} tokens, {share:.0f} % of the total",
        last,
    ]
    return "\n".join(map(visible, lines))


def first_uids(clean: Path, split: str, lines: Sequence[int]) -> dict[int, str]:
    """Return the first uid of the pairs on these lines of a split's file.

    Line n of a split is its n-th pair in clean.jsonl. A pair without a uid is left
    out, and without that file all are.
    """
    if not clean.is_file():
        return {}
    with clean.open("rb") as file:
        rows = (row for row in map(json.loads, file) if row.get("split") == split)
        uids = {n: row.get("first_uid") for n, row in enumerate(rows, 1) if n in lines}
    return {line: uid for line, uid in uids.items() if uid is not None}
