"""Measure `finetune upload` and a plain httpx2 POST of the same bytes.

Both send to the same loopback server, in turn, each in a process of its own. Run it
with: python -m benchmarks.upload [MEGABYTES ...]
"""

import hashlib
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import orjson

from tests.endpoint.conftest import KEY
from tests.lines import chat_line

SERVER = """
from tests.endpoint.server import Server
with Server() as server:
    print(server.url, flush=True)
    input()
"""

# Measures only the request, not the start of Python.
BARE = """
import httpx2, os, sys, time
start = time.perf_counter()
with open(sys.argv[1], "rb") as file:
    answer = httpx2.post(
        os.environ["OPENAI_BASE_URL"] + "/files",
        headers={"authorization": "Bearer " + os.environ["OPENAI_API_KEY"]},
        data={"purpose": "fine-tune"}, files={"file": ("bare.jsonl", file)},
        timeout=600,
    )
assert answer.status_code == 200
print("sent in", time.perf_counter() - start, file=sys.stderr)
"""


class Run(NamedTuple):
    """Seconds of the upload and of the whole process, and its peak memory."""

    sent: float
    whole: float
    peak_mb: float


def run(size: int, *command: str) -> Run:
    """Run a command that prints the time or the speed of its upload."""
    start = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command], stderr=subprocess.PIPE, text=True
    )
    said = process.stderr.read() if process.stderr else ""
    _, status, usage = os.wait4(process.pid, 0)
    whole = time.perf_counter() - start
    if status:
        raise SystemExit(said)
    if found := re.search(r"sent in ([\d.]+)", said):
        sent = float(found[1])
    else:
        [rate] = re.findall(r"sent at ([\d.,]+) MB/s", said)
        sent = size / (1 << 20) / float(rate.replace(",", ""))
    return Run(sent, whole, usage.ru_maxrss / 1024)


def write(folder: Path, size: int) -> None:
    """Write about `size` bytes of examples and their manifest."""
    sha256, lines, written = hashlib.sha256(), 0, 0
    with (folder / "train.jsonl").open("wb") as file:
        while written < size:
            line = chat_line(
                system=None, title=f"title {lines}", description=f"{lines} " * 150
            )
            file.write(line)
            sha256.update(line)
            lines, written = lines + 1, written + len(line)
    facts = {"sha256": sha256.hexdigest(), "bytes": written, "lines": lines}
    document = {"files": {"train.jsonl": facts}, "git_commit": None, "tool": "bench"}
    (folder / "manifest.json").write_bytes(orjson.dumps(document))


def main() -> None:
    """Print one line per run; the last two numbers are ratios, ours / theirs."""
    sizes = [int(word) for word in sys.argv[1:]] or [500, 1000]
    with (
        tempfile.TemporaryDirectory() as name,
        subprocess.Popen(
            [sys.executable, "-c", SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as server,
    ):
        url = server.stdout.readline().strip() if server.stdout else ""
        os.environ["OPENAI_BASE_URL"] = url
        os.environ["OPENAI_API_KEY"] = KEY
        folder = Path(name)
        for megabytes in sizes:
            write(folder, megabytes * 10**6)
            path = folder / "train.jsonl"
            size = path.stat().st_size
            route = "Uploads" if size > 512 << 20 else "Files"
            for _ in range(3):
                bare = run(size, "-c", BARE, str(path))
                ours = run(size, "-m", "exporter", "upload", "--force", "-o", name)
                print(
                    f"{megabytes} MB, {route}: bare {bare.sent:.2f} s "
                    f"(process {bare.whole:.2f} s, {bare.peak_mb:.0f} MB); "
                    f"finetune {ours.sent:.2f} s (process {ours.whole:.2f} s, "
                    f"{ours.peak_mb:.0f} MB); sending {ours.sent / bare.sent:.2f}, "
                    f"process {ours.whole / bare.whole:.2f}"
                )
        server.communicate("\n")


if __name__ == "__main__":
    main()
