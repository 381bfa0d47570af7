"""`finetune report`: a page in a real browser, and a card, of what an export holds."""

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from itertools import cycle
from pathlib import Path
from typing import Literal

import pytest
import yaml
from playwright.sync_api import Browser, Page, sync_playwright

from exporter.chat import chat_line
from exporter.checking.rules import read_rules
from exporter.report.survey import Survey
from exporter.report.texts import as_code
from tests.conftest import BROWSER, NPM, MakeWorkspace, Workspace, json_lines

Scheme = Literal["light", "dark"]

FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-sync", "--disable-background-networking"),
    "--disable-component-update",
]

# What no page may hold in itself, and what each cell must be.
COUNTS = """() => ({
    foreign: document.querySelectorAll(
        'script, img, iframe, object, form, base, main style, main main, html html'
    ).length,
    links: [...document.querySelectorAll('[href], [src]')].filter(
        e => !e.getAttribute('href')?.startsWith('#')).length,
    handlers: [...document.querySelectorAll('*')].filter(
        e => e.getAttributeNames().some(name => name.startsWith('on'))).length,
    footers: document.querySelectorAll('body > .page > footer').length,
    inside: [...new Set([...document.querySelectorAll('bdi *')].map(e => e.tagName))],
    loose: [...document.querySelectorAll('bdi')].filter(cell => {
        const style = getComputedStyle(cell), box = cell.getBoundingClientRect();
        const around = cell.parentElement.getBoundingClientRect();
        return style.unicodeBidi !== 'isolate' || style.overflow !== 'hidden'
            || box.left < around.left - 1 || box.right > around.right + 1;
    }).length,
})"""
# What turns the order of letters, or is not to be seen.
HIDDEN = re.compile(
    "[\u202a-\u202e\u2066-\u2069\u200b-\u200f\u2060\ufeff\u2028\x00-\x09\x0b-\x1f\x7f-\x9f]"
)

MEGABYTE = "x" * 1_000_000
# Twelve rows that would like to be more than text.
HOSTILE = [
    "<script>document.title = 'taken'</script>",
    "</style><style>body { display: none }</style>",
    "<img src=x onerror=\"document.title = 'taken'\">",
    "--> <!-- ]]> <![CDATA[ comment",
    "</details></section></main></body></html>",
    "\u202egnp.exe\u202c and \u2067isolated",
    "zero\u200bwidth\u200d\ufeff and \u00ad\u2060joined",
    "Z" + "\u0301\u0323\u0489" * 200 + "algo",
    MEGABYTE,
    '<a href="data:text/html,<script>alert(1)</script>">data</a> {{ 7 * 7 }}',
    "\u0645\u0631\u062d\u0628\u0627 (\u0634\u0643\u0631\u0627) \u05e9\u05dc",
    "bell\x07 escape\x1b[31m red \x85 next\r\nline\u2028end",
]
# What a title could do to a card in Markdown.
FORGED = "`# Forged` | [a](https://x.test) <b>\n---\nlicense: mit\n# @all www.x.test"


@pytest.fixture(scope="module")
def sample_files(
    built_sample: Workspace, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return a folder with the export of the sample and its report."""
    folder = tmp_path_factory.mktemp("report")
    for command in ("export", "report"):
        done = built_sample.finetune(command, "-o", folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="module")
def hostile_files(make_workspace: MakeWorkspace) -> Path:
    """Return the folder of an export of hostile rows, with its report."""
    workspace = make_workspace()
    titles = [*HOSTILE, FORGED]
    rows = [(f"{n}", title, f"{title} {n}") for n, title in enumerate(titles)]
    rows += [(f"+{n}", title, f"{title} again") for n, title in enumerate(titles)]
    rows += [(f"-{n}", title, "short") for n, title in enumerate(HOSTILE)]
    workspace.insert(rows)
    workspace.build("--vars", "{min_title_occurrences: 2, validation_percent: 20}")
    workspace.export()
    done = workspace.finetune("report", "--license", "mit", "--language", "en")
    assert done.returncode == 0, done.stderr
    return workspace.folder / "files"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if not BROWSER:
        pytest.skip("chromium is absent")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield browser
        browser.close()


def opened(browser: Browser, file: Path, width: int, scheme: Scheme) -> Page:
    """Open the page, and fail if it says a word or asks for anything."""
    page = browser.new_page(
        viewport={"width": width, "height": 740}, color_scheme=scheme
    )
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: said.append(request.url))
    page.goto(file.as_uri())
    assert said == [file.as_uri()]
    return page


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_is_quiet_fits_the_screen_and_says_its_verdict_first(
    sample_files: Path,
    hostile_files: Path,
    browser: Browser,
    width: int,
    scheme: Scheme,
) -> None:
    for folder in (sample_files, hostile_files):
        page = opened(browser, folder / "report.html", width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") == width
        verdict = page.locator("#verdict").bounding_box()
        assert verdict
        assert 0 < verdict["y"] + verdict["height"] < 740
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(
    sample_files: Path, hostile_files: Path, browser: Browser, scheme: Scheme
) -> None:
    axe = NPM / "axe-core/axe.min.js"
    if not axe.exists():
        pytest.skip("npm's packages are absent")
    for folder in (sample_files, hostile_files):
        # The policy of the page would keep axe itself out.
        page = browser.new_page(bypass_csp=True, color_scheme=scheme)
        page.goto((folder / "report.html").as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(d => d.open = 1)")
        page.evaluate(axe.read_text())
        found = page.evaluate("axe.run()")
        assert found["passes"]
        grave = [v for v in found["violations"] if v["impact"] != "minor"]
        assert grave == []
        page.close()


def test_the_pages_are_valid_html(sample_files: Path, hostile_files: Path) -> None:
    validate = NPM / ".bin/html-validate"
    if not validate.exists():
        pytest.skip("npm's packages are absent")
    pages = [folder / "report.html" for folder in (sample_files, hostile_files)]
    done = subprocess.run(
        [validate, *pages], check=False, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_hostile_rows_change_nothing_outside_their_cells(
    hostile_files: Path, browser: Browser
) -> None:
    page = opened(browser, hostile_files / "report.html", 360, "light")
    assert page.title() == "Product descriptions: report"
    # Each is there, as text.
    text = page.locator("main").inner_text()
    for title in HOSTILE:
        assert re.sub(r"[^ -~]+.*", "", title[:40], flags=re.DOTALL) in text
    assert r"\u202egnp.exe\u202c" in text
    assert "1,000,000 characters in all" in text
    # Nothing but text is made of them, and none leaves its cell.
    counts = page.evaluate(COUNTS)
    assert set(counts.pop("inside")) == {"I", "BR", "SMALL"}
    assert counts == {
        **dict.fromkeys(("foreign", "links", "handlers", "loose"), 0),
        "footers": 1,
    }
    assert not HIDDEN.search((hostile_files / "report.html").read_text())
    page.close()


def test_the_card_holds_no_markup_of_a_title(hostile_files: Path) -> None:
    card = (hostile_files / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "pretty_name": "Product descriptions",
        "license": "mit",
        "language": ["en"],
        "task_categories": ["text-generation"],
        "size_categories": ["n<1K"],
        "configs": [
            {
                "config_name": "default",
                "data_files": [
                    {"split": "train", "path": "train.jsonl"},
                    {"split": "validation", "path": "valid.jsonl"},
                ],
            }
        ],
    }
    headings = re.findall("^#+ .*", body, flags=re.MULTILINE)
    assert [h for h in headings if "`" not in h] == [
        "## How the rows were chosen",
        "## Most answers",
        "## Risks",
        "## Provenance",
    ]
    outside = re.sub(r"(`+).*?[^`]\1(?!`)", "", body)
    for forged in ("Forged", "x.test", "@all", "script", "data:"):
        assert forged not in outside
    assert MEGABYTE[:200] not in card


def test_the_numbers_are_those_of_the_manifest(hostile_files: Path) -> None:
    document = json.loads((hostile_files / "manifest.json").read_bytes())
    train, valid = document["splits"]["train"], document["splits"]["validation"]
    assert valid["pairs"]
    for name in ("report.html", "README.md"):
        text = re.sub("<[^>]*>", " ", (hostile_files / name).read_text())
        for split in (train, valid):
            for unit in ("titles", "pairs", "characters"):
                assert re.search(rf"\b{split[unit]:,}\b", text)
        for rule in document["funnel"]:
            assert rule["rule"] in text
            for fact in ("rows_before", "rows_dropped", "rows_after"):
                assert re.search(rf"\b{rule[fact]:,}\b", text)
        for facts in document["files"].values():
            assert facts["sha256"] in text
    assert f"{train['pairs'] + valid['pairs']:,}" in text


def test_the_same_export_gives_the_same_bytes_of_150_kb_at_most(
    built_sample: Workspace, sample_files: Path
) -> None:
    before = [(sample_files / n).read_bytes() for n in ("report.html", "README.md")]
    done = built_sample.finetune("report", "-o", sample_files, PYTHONHASHSEED="7")
    assert done.stdout == f"{sample_files}/report.html\n{sample_files}/README.md\n"
    after = [(sample_files / n).read_bytes() for n in ("report.html", "README.md")]
    assert before == after
    assert len(before[0]) <= 150_000


def test_rows_that_each_rule_dropped_come_from_the_database_of_the_build(
    sample: Workspace, sample_files: Path, workspace: Workspace
) -> None:
    page = (sample_files / "report.html").read_text()
    assert page.count("Rows that it dropped") == 3
    assert page.count("Rows that it merged") == 1
    # The files alone are enough for all the rest.
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    done = workspace.finetune("report")
    assert done.returncode == 0
    assert done.stderr.startswith("no samples of dropped rows: ")
    alone = (files / "report.html").read_text()
    assert "Rows that it" not in alone
    assert alone.count("Samples of dropped rows need the database") == 1
    # Rows of another build are none of this export's.
    sample.build()
    done = sample.finetune("report", "-o", files)
    assert done.stderr == (
        "no samples of dropped rows: dbt has built again since the export\n"
    )
    assert (files / "report.html").read_text() == alone


def test_the_bill_is_that_of_the_tokens(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    document = json.loads((files / "manifest.json").read_bytes())
    tokens = {"encoding": "o200k_base", "exact": True, "total": 40_000}
    tokens["histogram"] = {"64": 200, "1024": 103}
    document["splits"]["train"]["tokens"] = {
        **tokens,
        "longest": 9,
        "system_prompt": 8_000,
    }
    (files / "manifest.json").write_text(json.dumps(document))
    workspace.finetune("report", "--epochs", "3", "--price", "2.5")
    page = (files / "report.html").read_text()
    assert "<dd>40,000<" in page
    assert "<dd>20 %<" in page
    assert "<dd>120,000<" in page
    assert "<dd>$0.30<" in page
    # The tokens are drawn, and the limit that three readers have by default.
    assert "tokens, counted with o200k_base" in page
    assert '<th scope="row">64 to 75</th><td class="n">200</td>' in page
    assert ">1,024</text>" in page


@pytest.mark.parametrize("dialect", ["gemini", "nova", "prompt-completion"])
def test_every_dialect_has_a_report(
    built_sample: Workspace, tmp_path: Path, dialect: str
) -> None:
    for command in (["export", "--dialect", dialect], ["report"]):
        done = built_sample.finetune(*command, "-o", tmp_path)
        assert done.returncode == 0, done.stderr
    page = (tmp_path / "report.html").read_text()
    assert page.count('class="says assistant"') == 30
    assert page.count('class="says user"') == 30


def test_a_folder_that_is_not_as_it_was_written_is_refused(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    page = (files / "report.html").read_bytes()
    with (files / "train.jsonl").open("ab") as file:
        file.write(b"{}\n")
    done = workspace.finetune("report")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("finetune: files/train.jsonl: sha256 ")
    assert (files / "report.html").read_bytes() == page
    (files / "manifest.json").unlink()
    assert workspace.finetune("report").returncode == 1


def test_a_card_of_somebody_else_stays(
    sample_files: Path, workspace: Workspace
) -> None:
    files = workspace.folder / "files"
    shutil.copytree(sample_files, files)
    (files / "README.md").write_text("# Mine\n")
    done = workspace.finetune("report")
    assert (done.returncode, done.stdout) == (0, "files/report.html\n")
    assert "files/README.md is not replaced" in done.stderr
    assert "to get a card: rm files/README.md\n" in done.stderr
    assert (files / "README.md").read_text() == "# Mine\n"


def write_export(
    sample_files: Path,
    folder: Path,
    examples: Iterable[tuple[str, str]],
    **facts: object,
) -> None:
    """Write an export of these questions and answers, with the sample's manifest."""
    folder.mkdir()
    digest, size, lines = hashlib.sha256(), 0, 0
    with (folder / "train.jsonl").open("wb") as file:
        for question, answer in examples:
            line = chat_line(system="Be brief.", title=question, description=answer)
            file.write(line)
            digest.update(line)
            size, lines = size + len(line), lines + 1
    shutil.copy(sample_files / "clean.jsonl", folder)
    document = json.loads((sample_files / "manifest.json").read_bytes())
    document["files"]["train.jsonl"] = {
        "sha256": digest.hexdigest(),
        "bytes": size,
        "lines": lines,
    }
    document["splits"]["train"] = {"titles": 1, "pairs": lines, "characters": size}
    (folder / "manifest.json").write_text(json.dumps(document | facts))


@pytest.mark.parametrize(
    ("examples", "facts", "shown"),
    [
        ([("lamp", "it shines")], {}, "One conversation"),
        ([("1", "2")] * 12, {"system_prompt": None}, "The same answer, under several"),
        ([("lamp", "it shines")], {"funnel": []}, "names no funnel"),
        (
            [("lamp", "it shines")],
            {"funnel": [{"step<b>": 7}]},
            "The data set&#39;s own",
        ),
        ([("lamp", "it shines")], {"vars": {}}, "<td>none</td>"),
        (
            [("lamp", "it shines")],
            {"gate": {"ran": False, "tests": []}},
            "The rows were not tested",
        ),
        (
            [("lamp", "write to AKIAQWERTYUIOPASDFGH now")],
            {},
            "(not shown: a likely secret is in this text)",
        ),
    ],
)
def test_other_exports_have_a_report(
    sample_files: Path,
    workspace: Workspace,
    examples: list[tuple[str, str]],
    facts: dict[str, object],
    shown: str,
) -> None:
    write_export(sample_files, workspace.folder / "files", examples, **facts)
    done = workspace.finetune("report")
    assert done.returncode == 0, done.stderr
    page = (workspace.folder / "files/report.html").read_text()
    assert shown.replace("&#39;", "'") in page.replace("&#39;", "'")


def test_likely_secrets_of_the_data_are_not_on_the_page(
    sample_files: Path, workspace: Workspace
) -> None:
    secrets = ["AKIAQWERTYUIOPASDFGH", "4111 1111 1111 1111", "DE89370400440532013000"]
    folder = workspace.folder / "files"
    answers = [f"a lamp, {secret}, in the middle of it" for secret in secrets]
    write_export(
        sample_files,
        folder,
        [(f"{n} {secrets[0]}", answer) for n in range(4) for answer in answers],
    )
    done = workspace.finetune("report")
    assert done.returncode == 0, done.stderr
    written = (folder / "report.html").read_text() + (folder / "README.md").read_text()
    assert "not shown: a likely secret" in written
    assert [secret for secret in secrets if secret in written] == []


@pytest.mark.parametrize(
    ("answer", "scripts"),
    [
        ("it shines", {"Latin"}),
        ("日々の明かり", {"Han", "Hiragana"}),
        ("свет\u02bc \u30fc ª 5 µm", {"Cyrillic", "Latin"}),
        ("\uff41\uff4c \uff97\uff9d", {"Latin", "Katakana"}),
    ],
)
def test_scripts_are_those_of_the_letters(
    answer: str, scripts: set[str], tmp_path: Path
) -> None:
    file = tmp_path / "train.jsonl"
    file.write_bytes(chat_line(system=None, title="", description=answer))
    survey = Survey([file], read_rules(dialect="messages"))
    assert {group.what for group in survey.seen()} == scripts


def test_a_manifest_that_counts_otherwise_than_its_files_is_refused(
    sample_files: Path, workspace: Workspace
) -> None:
    folder = workspace.folder / "files"
    write_export(sample_files, folder, [("lamp", "it shines")], splits={"train": {}})
    done = workspace.finetune("report")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert (
        "its manifest is of another version; run finetune export again" in done.stderr
    )


@pytest.mark.slow
def test_400_000_pairs_take_200_mb_and_a_page_of_one(
    sample_files: Path, workspace: Workspace
) -> None:
    rows = json_lines(sample_files / "clean.jsonl")
    write_export(
        sample_files,
        workspace.folder / "files",
        (
            (f"{row['title']} {n % 300_000}", f"{n} {row['description']}")
            for n, row in zip(range(400_000), cycle(rows))
        ),
    )
    measured = (
        "import resource, subprocess, sys;"
        "subprocess.run([sys.executable, '-m', 'exporter', 'report'], check=True);"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10)"
    )
    done = workspace.run([sys.executable, "-c", measured])
    assert done.returncode == 0, done.stderr
    assert int(done.stdout.split()[-1]) < 200
    assert (workspace.folder / "files/report.html").stat().st_size < 1_000_000


def test_what_changed_since_an_earlier_export_is_shown(
    sample_files: Path, workspace: Workspace
) -> None:
    old, files = workspace.folder / "old", workspace.folder / "files"
    for folder in (old, files):
        shutil.copytree(sample_files, folder)
    rows = (old / "clean.jsonl").read_bytes().splitlines(keepends=True)[1:]
    (old / "clean.jsonl").write_bytes(b"".join(rows))
    document = json.loads((old / "manifest.json").read_bytes())
    digest = hashlib.sha256(b"".join(rows)).hexdigest()
    size = sum(map(len, rows))
    facts = {"sha256": digest, "bytes": size, "lines": len(rows)}
    document["files"]["clean.jsonl"] = facts
    document["vars"]["min_title_occurrences"] = 9
    (old / "manifest.json").write_text(json.dumps(document))
    done = workspace.finetune("report", "--since", "old")
    assert done.returncode == 0, done.stderr
    text = re.sub("<[^>]*>", " ", (files / "report.html").read_text())
    assert re.search(r"pairs +1 +0 +0 +302 ", text)
    assert re.search(
        r"vars +min_title_occurrences: 9 +min_title_occurrences: 10 ", text
    )
    assert len(json_lines(files / "clean.jsonl")) == 303


def test_a_title_cannot_end_its_cell_or_its_code_span() -> None:
    assert as_code("a | `b` ``c`` \u202e\n") == r"``` a \| `b` ``c`` \u202e\n ```"
