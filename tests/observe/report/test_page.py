"""What stands on a page is what the run recorded, and no text of a run is ever anything but text."""

import json
import math
import sqlite3
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import pytest

from looptree import Loop
from looptree.observe.report import CannotReport, report
from looptree.observe.runs import NotARun, Recorder, Run
from looptree.observe.runs.database import creating
from looptree.observe.save import CannotSave
from looptree.observe.timing_formats import duration
from tests.observe.recorded import Training, interrupted, recorded


class Read(HTMLParser):
    """A page as a browser takes it apart: elements with their attributes, the text of each section, tables."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.inside = ""
        self._rows: list[list[str]] = []
        self._in_cell = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self.inside = tag
        if tag == "script":
            self.scripts.append("")
        if dict(attrs).get("role") == "region":
            name = dict(attrs).get("aria-label") or dict(attrs).get("aria-labelledby")
            self._rows = self.tables.setdefault(str(name), [])
        if tag == "tr":
            self._rows.append([])
        if tag in ("td", "th"):
            self._in_cell = True
            self._rows[-1].append("")

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts[-1] += data
            return
        self.texts.append(data)
        if self._in_cell:
            self._rows[-1][-1] += data

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""
        self._in_cell = self._in_cell and tag not in ("td", "th")

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    @property
    def data(self) -> dict:
        return json.loads(self.scripts[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


def test_the_page_has_what_happened(folder: Path) -> None:
    run = recorded(folder, settings={"env_id": "Maze-v3", "seed": 7, "lr": 0.1, "net": {"sizes": [64, 64]}})
    text = Read(report(run).html).text
    for said in ("Training on Maze-v3", "seed 7", "ran all 12 items", "net.sizes", "[64, 64]", "in 12 passes"):
        assert said in text
    assert f"python{run.versions['python']}" in text


def test_the_times_are_those_of_the_profile(folder: Path) -> None:
    loop = Training(times=200)
    with Recorder(loop, folder) as recorder:
        loop.run()
    page = Read(report(Run(folder)).html)
    rows = page.tables["slowest-title"][1:]
    profile = {timing.path: timing for timing in Run(folder).timings}
    assert {row[0] for row in rows} == {path for path, timing in profile.items() if timing.own_s > 0}
    for path, calls, own, mean, _ in rows:
        timing = profile[path]
        assert (calls, own) == (f"{timing.calls:,}", duration(timing.own_s).strip())
        assert mean == duration(timing.mean_s).strip()
        assert timing.calls == pytest.approx(recorder.profile[path].calls, abs=1)
        assert timing.own_s <= recorder.profile[path].own_s + 1e-9
    cells = [dict(attributes) for tag, attributes in page.elements if tag == "td" and "data-value" in attributes]
    own_s = math.fsum(float(str(cell["data-value"])) for cell in cells[1::4])
    assert own_s == pytest.approx(profile["training"].all_s, rel=0.01)


def test_the_tree_is_the_loops(folder: Path) -> None:
    run = recorded(folder)
    page = Read(report(run).html)
    for timing in run.timings:
        assert f"{timing.name} {timing.note}".strip() in page.text
    titles = {attributes.get("title") for tag, attributes in page.elements if tag == "span"}
    assert {timing.place for timing in run.timings if timing.place} <= titles


def test_hooks_unfold_to_what_they_read_and_write(folder: Path) -> None:
    run = recorded(folder)
    text = Read(report(run).html).text
    (half,) = (hook for hook in run.hooks if hook["label"] == "Half.after_step")
    assert half["writes"] == ["training.rate"]
    assert f"reads {', '.join(half['reads'])} writes training.rate" in text.replace(" , ", ", ")


def test_the_code_has_the_times_of_its_lines(folder: Path) -> None:
    run = recorded(folder)
    rows = Read(report(run).html).tables["Lines of code"][1:]
    by_key = {timing.key: timing for timing in run.timings}
    assert [row[2] for row in rows] == [text for text, _ in run.code]
    for (text, key), (_, shown, _) in zip(run.code, rows, strict=True):
        timing = by_key.get(key or "none")
        assert shown == (duration(timing.total_s).strip() if timing is not None and timing.calls else ""), text


def test_writers_are_those_that_a_callback_saw(folder: Path) -> None:
    seen: Counter[str] = Counter()

    class Watching(Loop):
        def on_step(self) -> None:
            self.rate = self.count % 5
            seen["Watching.on_step"] += self.rate != self.before
            self.before = self.rate

        def after_step(self, _every: int = 2) -> None:
            self.rate = -self.count
            seen["Watching.after_step"] += self.rate != self.before
            self.before = self.rate

        rate = before = 99.0

    run = recorded(folder, Watching(times=50), metrics=(), over="count", fields=("rate",))
    page = Read(report(run).html)
    assert {row[0].strip(): int(row[1]) for row in page.tables["Writers of watching.rate"][1:]} == seen
    drawn = page.data["fields"][0]["passes"]
    assert [len(points["x"]) for points in drawn] == sorted(seen.values(), reverse=True)
    by_hand = sorted((count + 1, -count) for count in range(1, 50, 2))
    (halves,) = (points for points in drawn if min(points["y"]) < 0)
    assert sorted(zip(halves["x"], halves["y"], strict=True)) == by_hand


def test_the_field_that_changed_most_comes_first(folder: Path) -> None:
    class Counts(Loop):
        a_seldom = b_often = c_now_and_then = 0

        def on_step(self) -> None:
            self.b_often += 1

        def after_step(self, _every: int = 5) -> None:
            self.a_seldom += 1

        def after_pass(self) -> None:
            self.c_now_and_then = self.count // 2

    names = ("a_seldom", "b_often", "c_now_and_then")
    page = Read(report(recorded(folder, Counts(times=10), metrics=(), over="count", fields=names)).html)
    picked = [attributes["value"] for tag, attributes in page.elements if tag == "option"]
    assert picked == ["counts.b_often", "counts.c_now_and_then", "counts.a_seldom"]


def test_curves_are_the_metrics_and_hold_to_the_end(folder: Path) -> None:
    page = Read(report(recorded(folder)).html)
    loss, rate = page.data["charts"]
    assert loss["steps"] == [
        {"group": 0, "kind": "values", "x": [*range(4, 52, 4), 48], "y": [*range(1, 13), 12]},
    ]
    assert rate["passes"][0]["x"] == [1, 3, 6, 9, 12, 12]
    assert rate["passes"][0]["y"] == [1, 0.5, 0.25, 0.125, 0.0625, 0.0625]
    assert "12 at the end; lowest 1 at 4 samples, highest 12 at 48." in page.text.lower()
    assert page.tables["Table of loss"][-1] == ["48", "12"]


def test_what_is_not_a_number_is_a_gap_in_json_that_every_program_reads(folder: Path) -> None:
    class Odd(Loop):
        value = 1.0

        def on_step(self) -> None:
            self.value = [1.0, math.nan, math.inf, 2.0][self.count]

    run = recorded(folder, Odd(times=4), metrics=("value",), over="count", fields=())
    data = json.loads(Read(report(run).html).scripts[0], parse_constant=pytest.fail)
    assert data["charts"][0]["passes"][0]["y"] == [1, None, None, 2, 2]


def test_a_loop_that_had_run_before_goes_on_where_it_was(folder: Path) -> None:
    loop = Training(times=10)
    loop.run()
    page = Read(report(recorded(folder, loop)).html)
    assert page.data["axes"]["passes"] == {"name": "passes", "end": 20}
    assert page.data["charts"][0]["passes"][0]["x"] == [*range(11, 21), 20]


def test_interruptions_are_told_and_marked(folder: Path) -> None:
    run = interrupted(folder, inexact=("The <maze> begins anew.",))
    page = Read(report(run).html)
    first = "Ended before: ran all 8 items. Gone on with after 7 passes, making 1 pass again:"
    second = "Ended before: ran all 2 items. Gone on with after 5 passes, making 4 passes again:"
    assert first in page.text and second in page.text
    assert "Not as it was: The <maze> begins anew." in page.text
    assert "Dotted lines mark where the run was interrupted" in page.text
    marks = page.data["marks"]
    (seconds,) = marks.pop("seconds")
    assert marks == {"steps": [20], "passes": [5]}  # of the first one nothing is left
    assert seconds == pytest.approx(run.metric("loss").at_s[4], rel=1e-5)
    assert run.metric("loss").passes == list(range(12))
    text = Read(report(run, recorded(folder.with_name("other"))).html).text
    assert "ran all 7 items; interrupted 2 times before that" in text


def test_a_run_that_goes_on_and_one_that_was_killed(folder: Path) -> None:
    with Recorder(Training(), folder):
        assert "Goes on" in Read(report(Run(folder)).html).text
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        connection.execute("UPDATE sessions SET ended = NULL, ended_at = NULL")
    connection.close()
    assert "Was killed" in Read(report(Run(folder)).html).text
    assert "Interruptions" not in report(Run(folder)).html


def test_a_run_of_which_little_is_known(folder: Path) -> None:
    with Recorder(Training(), folder):
        pass
    text = Read(report(Run(folder)).html).text
    assert "No metrics were recorded" in text
    assert "No changes of fields were recorded" in text
    assert "did not run" in text


def test_a_million_passes_are_thinned_for_the_page_only(folder: Path) -> None:
    run = recorded(folder, Training(times=3), over="count")
    number = 1_000_000
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        connection.executemany("INSERT INTO passes VALUES (?, ?, ?)", ((at, at, at / 9) for at in range(10, number)))
        rows = (("loss", at, math.sin(at)) for at in range(10, number))
        connection.executemany("INSERT INTO metrics VALUES (?, ?, ?)", rows)
    connection.close()
    html = report(run).html
    assert len(html.encode()) < 10e6
    assert len(run.metric("loss").values) > 999_000
    values, mean = Read(html).data["charts"][0]["passes"]
    assert len(values["x"]) <= 2_001
    assert len(mean["x"]) <= 2_000


# what a run's texts may do

EVIL = [
    '<script>alert("x")</script>',
    "</script><script>alert(2)</script>",
    '"><img src=x onerror=alert(3)>',
    "<!--<script>{{ 7 * 7 }}",
]


def test_texts_are_texts(folder: Path, tmp_path: Path) -> None:
    class Evil(Loop):
        word = "</script>"

        def on_step(self) -> None:
            self.word = EVIL[self.count]

    settings = {"env_id": EVIL[0], "seed": EVIL[1], EVIL[2]: EVIL[3], "rate": {EVIL[1]: EVIL}}
    with Recorder(loop := Evil(times=4, name="evil"), tmp_path / "<b>run", fields=("word",), settings=settings):
        loop.run()
    connection = sqlite3.connect(tmp_path / "<b>run" / "run.db")
    with connection:
        for number, evil in enumerate(EVIL):
            connection.execute("INSERT INTO metrics VALUES (?, 0, 1)", (evil,))
            line = (evil, evil, evil, evil, number)
            connection.execute("UPDATE timings SET name = ?, note = ?, place = ?, path = ? WHERE line = ?", line)
            connection.execute("UPDATE names SET name = name || ?", (evil,))
        connection.execute("UPDATE about SET value = ? WHERE name IN ('over', 'loop')", (EVIL[1],))
        connection.execute("INSERT INTO sessions SELECT 2, 0, began_at, ended_at, ended, 0, '[]' FROM sessions")
        said = (EVIL[0], EVIL[2], EVIL[1], json.dumps(EVIL))
        connection.execute("UPDATE sessions SET began_at = ?, ended_at = ?, ended = ?, inexact = ?", said)
    connection.close()
    run = Run(tmp_path / "<b>run")
    page, compared = Read(report(run).html), Read(report(recorded(folder), run).html)
    for each in (page, compared):
        kinds = Counter(tag for tag, _ in each.elements)
        assert (kinds["script"], kinds["img"]) == (3, 0)
        assert not [name for _, attributes in each.elements for name in attributes if name.startswith("on")]
        assert not [evil for evil in EVIL if evil not in "".join(each.texts)]
    assert page.data["axes"]["steps"]["name"] == EVIL[1]


def test_only_its_own_scripts_may_run_in_it_and_nothing_may_be_fetched(folder: Path) -> None:
    page = Read(report(recorded(folder)).html)
    (policy,) = (each["content"] for tag, each in page.elements if tag == "meta" and "http-equiv" in each)
    rules = dict(rule.split(" ", 1) for rule in str(policy).split("; "))
    assert rules["default-src"] == "'none'"
    assert all(source.startswith("'sha256-") for source in rules["script-src"].split())
    assert "connect-src" not in rules
    assert "unsafe-eval" not in str(policy)
    elements = [attributes for _, attributes in page.elements]
    links = [each[name] for each in elements for name in ("src", "href", "srcset", "action") if name in each]
    assert all(str(link).startswith("#") for link in links)


# where it goes


def test_a_page_is_saved_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    page = report(recorded(folder))
    assert page.save(tmp_path / "report.html").read_text(encoding="utf-8") == page.html
    with pytest.raises(CannotSave, match="There is no folder"):
        page.save(tmp_path / "nowhere" / "report.html")
    assert [path.name for path in tmp_path.iterdir() if "report" in path.name] == ["report.html"]


def test_a_notebook_shows_the_page_in_a_frame_of_its_own(folder: Path) -> None:
    page = report(recorded(folder))
    ((tag, attributes),) = Read(page._repr_html_()).elements
    assert (tag, attributes["srcdoc"], attributes["sandbox"]) == ("iframe", page.html, "allow-scripts")


# what does not fit


def test_a_report_of_nothing() -> None:
    with pytest.raises(CannotReport, match=r'report\(Run\("runs/first"\)\)'):
        report()


@pytest.mark.parametrize("name", ["description.json", "code.json", "settings.json", "versions.json", "run.db"])
@pytest.mark.parametrize("damage", [b"", b"{", b"[1, 2]", b"\xff\xfe", None])
def test_a_damaged_run(folder: Path, name: str, damage: bytes | None) -> None:
    run = recorded(folder)
    (folder / name).unlink() if damage is None else (folder / name).write_bytes(damage)
    with pytest.raises(NotARun, match=name.replace(".", r"\.")):
        report(run)


def test_a_database_without_a_table(folder: Path) -> None:
    run = recorded(folder)
    (folder / "run.db").unlink()
    with creating(folder / "run.db") as connection:
        connection.execute("DROP TABLE timings")
    with pytest.raises(NotARun, match=r"run\.db cannot be read: its tables are not those that a Recorder makes"):
        report(run)


WRONG = [
    "UPDATE passes SET at_s = 'long ago'",
    "UPDATE passes SET step = x'00'",
    "UPDATE metrics SET value = 'high'",
    "UPDATE metrics SET name = x'00' WHERE pass = 1",
    "UPDATE timings SET calls = 'many'",
    "UPDATE timings SET depth = NULL",
    "UPDATE timings SET place = x'ff'",
    "UPDATE changes SET value = 'much'",
    "UPDATE changes SET old = NULL",
    "UPDATE names SET name = x'00' WHERE id = 1",
    "UPDATE about SET value = x'00'",
    "UPDATE sessions SET from_pass = 'somewhere'",
    "UPDATE sessions SET ended = x'00'",
    "UPDATE sessions SET inexact = '{}'",
    "UPDATE sessions SET inexact = '['",
    "DELETE FROM sessions",
    "DELETE FROM passes",
    "ALTER TABLE timings DROP COLUMN note",
]


@pytest.mark.parametrize("statement", WRONG)
def test_a_database_with_what_does_not_belong_there(folder: Path, statement: str) -> None:
    run = recorded(folder)
    connection = sqlite3.connect(folder / "run.db")
    with connection:
        connection.execute(statement)
    connection.close()
    with pytest.raises(NotARun, match=r"run\.db cannot be read: "):
        report(run)


@pytest.mark.parametrize("missing", ["jinja2", "plotly"])
def test_a_missing_package_is_named_with_what_brings_it(folder: Path, missing: str) -> None:
    recorded(folder)
    code = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == {missing!r}:
            raise ModuleNotFoundError("No module named " + repr(name), name=name)
sys.meta_path.insert(0, Blocked())
from looptree.observe.report import CannotReport, report
from looptree.observe.runs import Run
try:
    report(Run({str(folder)!r}))
except CannotReport as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert f"A report needs the package '{missing}" in done.stdout, done.stderr
    assert "pip install 'looptree[report]'" in done.stdout
