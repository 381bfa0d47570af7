"""Generate realistic product rows as JSON Lines or CSV, always the same for a seed.

Titles have a long tail; a third of the contents are empty; lengths are log-normal
around 450 characters, at most 20,000; texts mix Latin, HTML, CJK, emoji and
right-to-left; one content in ten has blanks at its ends. With the shape "few" about 3 %
of the rows survive the rules, with "most" about 60 %.
"""

import argparse
import csv
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

TEXT = """
    a the of and with for from light lamp desk chair wood steel glass bright small
    large warm soft made by hand in two colours see also our other products élan
    Größe für schöne naïve Stühle <p> </p> <b>new</b> <li>one</li> &amp; &euro;
    明るい 机の上の 椅子 这是一个很好的产品 适合家庭使用 조명 가구 👩‍🔧 🔦 ✅
    مصباح مكتب جميل כיסא מעץ מלא светлая лампа для стола
"""


def rows(count: int, shape: str, seed: int = 1) -> Iterator[tuple[str, str, str]]:
    """Yield (uid, title, content)."""
    draw = random.Random(f"{seed} {shape}")  # noqa: S311  # Rows, not secrets.
    # Contents are windows of one long text: fast to generate, and all different.
    text = " ".join(draw.choices(TEXT.split(), k=400_000))
    # With "few" only 6.5 % of the rows have a frequent title.
    shared = 0.065 if shape == "few" else 0.93
    previous = ""
    for number in range(count):
        if draw.random() < shared:
            # Zipf-like: of n titles, the k-th comes about n / k times as often.
            popularity = int((count / 100) ** draw.random())
            title = f"{text[popularity % 5_000 : popularity % 5_000 + 12]} {popularity}"
        else:
            title = f"{text[number % 9_000 : number % 9_000 + 25]} no. {number}"
        if draw.random() < 1 / 3:
            content = ""
        elif draw.random() < 0.03:
            content = previous
        else:
            length = min(20_000, max(1, int(draw.lognormvariate(6.1, 0.9))))
            start = draw.randrange(len(text) - length)
            content = previous = text[start : start + length].strip()
        if draw.random() < 0.1:
            content = f" {content}\u00a0\n"
        yield f"sku-{number:08d}", title, content


def write(path: Path, count: int, shape: str) -> None:
    """Write the rows as JSON Lines, or as CSV if the suffix is .csv."""
    with path.open("w", encoding="utf-8", newline="") as file:
        if path.suffix == ".csv":
            writer = csv.writer(file)
            writer.writerow(["uid", "title", "content"])
            writer.writerows(rows(count, shape))
            return
        for uid, title, content in rows(count, shape):
            row = {"uid": uid, "title": title, "content": content}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=sys.modules[__name__].__doc__)
    parser.add_argument("path", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shape", choices=["few", "most"], default="most")
    options = parser.parse_args()
    write(options.path, options.rows, options.shape)
