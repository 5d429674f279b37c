"""A live report follows a run that another process makes, for browsers of this machine only, and shows no file."""

import http.client
import os
import re
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from looptree.observe.report.live import CannotListen, LiveReport
from looptree.observe.runs import Run
from tests.observe.recorded import Training, recorded
from tests.observe.report.browsing import Opened
from tests.observe.report.poisoned import EVIL, poisoned

REPOSITORY = Path(__file__).resolve().parents[3]
LONGEST_S = 60

TRAINS = """
import sys, time
from pathlib import Path
from looptree import Loop
from looptree.observe.runs import Recorder

class Training(Loop):
    loss = rate = 0.0
    def on_step(self):
        time.sleep(0.01)
        self.loss = (7 * self.count) % 10 / (self.count + 1)
    def after_step(self, _every=3):
        self.rate = self.loss / 2
    def after_pass(self):
        if self.count == 100:
            print("some passes", flush=True)
        if Path(sys.argv[1], "end").exists():
            self.stop("enough")

loop = Training(times=100_000)
with Recorder(loop, sys.argv[1], metrics=["loss", "rate"], fields=["loss", "rate"]):
    loop.run()
"""


@contextmanager
def started(*words: object) -> Iterator[subprocess.Popen[str]]:
    """A process, of which nothing is left afterwards, whatever happens."""
    with subprocess.Popen(
        [sys.executable, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


def ended_well(process: subprocess.Popen[str]) -> bool:
    """Whether a process ends with nothing to complain of, and leaves none behind."""
    _, complaints = process.communicate(timeout=LONGEST_S)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    return (process.returncode, complaints) == (0, "")


class Trained:
    """A run that goes on in a process of its own until it is ended."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        assert process.stdout is not None
        assert process.stdout.readline() == "some passes\n"
        self.folder = folder
        self._process = process

    def end(self) -> None:
        (self.folder / "end").touch()
        assert ended_well(self._process)


@pytest.fixture
def trained(tmp_path: Path) -> Iterator[Trained]:
    with started("-c", TRAINS, tmp_path / "run") as process:
        yield Trained(process, tmp_path / "run")


class Served:
    """The command that follows a run."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert re.fullmatch(r"report: http://127\.0\.0\.1:\d+/ \(Ctrl-C ends it\)\n", line)
        self.address = line.split()[1]
        self.port = int(self.address.rstrip("/").rpartition(":")[2])
        self._process = process

    def answer(self, path: str, method: str = "GET", host: str = "") -> tuple[int, str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=LONGEST_S)
        try:
            connection.request(method, path, headers={"Host": host or f"127.0.0.1:{self.port}"})
            answer = connection.getresponse()
            return answer.status, answer.read().decode()
        finally:
            connection.close()

    def end(self) -> None:
        os.killpg(self._process.pid, signal.SIGINT)
        assert ended_well(self._process)


@contextmanager
def following(folder: Path) -> Iterator[Served]:
    with started("-m", "looptree.cli", "report", "--live", folder) as process:
        yield Served(process)


@pytest.fixture
def served(trained: Trained) -> Iterator[Served]:
    with following(trained.folder) as served:
        yield served


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """Of a run that has ended; there is a file beside it."""
    folder = tmp_path_factory.mktemp("live")
    (folder / "settings.json").write_text("secret")
    recorded(folder / "run", settings={"key": "secret"})
    with following(folder / "run") as served:
        yield served


# what the reader sees


def passes(page: Page) -> int:
    return int(page.locator(".numbers dd").first.evaluate("it => it.firstChild.data").replace(",", ""))


def await_more(page: Page) -> None:
    more = "before => Number(document.querySelector('.numbers dd').firstChild.data.replaceAll(',', '')) > before"
    page.wait_for_function(more, arg=passes(page))


def test_the_page_follows_the_run_until_it_ends(opened: Opened, served: Served, trained: Trained) -> None:
    page = opened.open(served.address)
    state = page.get_by_role("status")
    assert state.inner_text() == "Follows the run"
    assert page.locator("#as-of").inner_text().startswith("· updated ")
    figure = page.locator("figure").first
    before = figure.locator("figcaption").inner_text(), figure.locator(".xtick").all_inner_texts()
    calls = page.locator(".tree .cell").first.inner_text()
    changes = page.locator("[data-field]:visible .said").inner_text()
    await_more(page)
    await_more(page)
    assert calls != "" and page.locator("[data-field]:visible .said").inner_text() != changes
    page.wait_for_function("before => document.querySelector('figcaption').textContent !== before", arg=before[0])
    assert Axe().run(page).response["violations"] == []

    trained.end()
    page.get_by_text("The run has ended").wait_for()
    run = Run(trained.folder)
    assert page.locator(".ended").inner_text() == run.ended == "stopped by Training.after_pass: enough"
    assert passes(page) == run.passes
    (data,) = page.evaluate("JSON.parse(document.getElementById('data').textContent).charts.slice(0, 1)")
    assert data["passes"][0]["x"][-1] == run.passes_done
    asked = opened.asked
    page.wait_for_timeout(2_500)
    assert opened.asked == asked


def test_what_the_reader_has_done_stays(opened: Opened, served: Served) -> None:
    page = opened.open(served.address)
    page.get_by_role("button", name="Dark").click()
    page.get_by_label("seconds").check()
    page.get_by_label("Field").select_option("training.rate")
    page.locator("figure summary").first.click()
    page.locator(".tree details > summary").first.click()
    page.get_by_role("button", name="Calls").click()
    page.get_by_role("button", name="Calls").click()
    page.get_by_role("button", name="Mean").focus()
    page.evaluate("scrollTo({top: 700, behavior: 'instant'})")
    await_more(page)
    await_more(page)
    assert page.evaluate("scrollY") == 700
    assert page.evaluate("document.activeElement.textContent") == "Mean"
    assert page.get_by_role("button", name="Light").is_visible()
    assert page.get_by_label("seconds").is_checked()
    assert page.locator("[data-chart='0'] .xtitle").text_content() == "seconds"
    assert page.get_by_label("Field").input_value() == "training.rate"
    assert page.locator("[data-field]:visible h3").inner_text() == "training.rate"
    assert page.locator("figure details").first.get_attribute("open") is not None
    assert page.locator(".tree details").first.get_attribute("open") is None
    assert page.locator("#slowest [aria-sort=ascending]").inner_text().startswith("Calls")
    counts = page.locator("#slowest tbody td:nth-of-type(1)").evaluate_all("all => all.map(it => +it.dataset.value)")
    assert counts == sorted(counts)


def test_it_asks_only_while_somebody_looks(opened: Opened, served: Served) -> None:
    page = opened.open(served.address)
    await_more(page)
    page.evaluate("Object.defineProperty(document, 'hidden', {value: true, configurable: true})")
    page.wait_for_timeout(500)  # for what is under way
    asked = opened.asked
    page.wait_for_timeout(2_500)
    assert opened.asked == asked
    page.evaluate("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))")
    await_more(page)


@pytest.mark.parametrize("opened", [(400, "dark")], indirect=True)
def test_a_server_that_is_gone_is_told(opened: Opened, served: Served) -> None:
    page = opened.open(served.address)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    served.end()
    page.get_by_text("The server is gone").wait_for()
    assert page.locator("#as-of").inner_text().startswith("· updated ")
    assert passes(page) > 0
    opened.wrong = [each for each in opened.wrong if "ERR_CONNECTION_REFUSED" not in each]


def test_ctrl_c_ends_it_while_it_draws_and_is_asked(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run", Training(times=3), over="count")
    connection = sqlite3.connect(run.folder / "run.db")
    with connection:
        rows = [(at, at, at / 9) for at in range(10, 200_000)]
        connection.executemany("INSERT INTO passes VALUES (?, ?, ?)", rows)
        connection.executemany("INSERT INTO metrics VALUES ('loss', ?, ?)", ((at, at % 7) for at, *_ in rows))
    connection.close()
    with following(run.folder) as served, socket.create_connection(("127.0.0.1", served.port)) as asking:
        asking.sendall(b"GET /news HTTP/1.1\r\nHost: localhost\r\n\r\n")
        served.end()


def test_texts_of_a_run_are_never_carried_out(opened: Opened, tmp_path: Path) -> None:
    run = poisoned(tmp_path)
    with closing(sqlite3.connect(run.folder / "run.db")) as connection, connection:
        connection.execute("UPDATE sessions SET ended = NULL WHERE number = 3")  # so that it asks for news
    with following(run.folder) as served:
        page = opened.open(served.address)
        with closing(sqlite3.connect(run.folder / "run.db")) as connection, connection:
            connection.execute("UPDATE names SET name = name || ?", (f"{EVIL} news",))
        page.get_by_text(f"{EVIL} news").first.wait_for(state="attached")
        assert page.locator("img, svg[onload], [onerror], [onmouseover], a[href^=javascript]").count() == 0
        assert page.locator("script").count() == 4


# whom it answers, and what


def test_other_names_of_this_machine_are_refused(server: Served) -> None:
    for name in ("evil.example", f"evil.example:{server.port}", "127.0.0.1.evil.example", "localhost.evil.example"):
        assert server.answer("/", host=name)[0] == 400
        assert server.answer("/news", host=name)[0] == 400
    for name in ("localhost", f"localhost:{server.port}", "127.0.0.1"):
        assert server.answer("/news", host=name)[0] == 200


@pytest.mark.parametrize(
    "path",
    ["/../settings.json", "/run.db", "/settings.json", "/%2e%2e/settings.json", "//run.db", "/news/run.db"],
)
def test_no_path_leads_to_a_file(server: Served, path: str) -> None:
    assert server.answer(path) == (404, "Not Found")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
def test_it_can_only_be_asked(server: Served, method: str) -> None:
    assert [server.answer(path, method)[0] for path in ("/", "/news")] == [405, 405]


def test_it_listens_on_loopback_only(server: Served) -> None:
    socket.create_connection(("127.0.0.1", server.port), timeout=5).close()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.2", server.port), timeout=5)


def test_the_page_may_ask_its_own_server_and_nobody_else(server: Served) -> None:
    for path in ("/", "/news"):
        _, text = server.answer(path)
        policy = text.partition('http-equiv="Content-Security-Policy" content="')[2].partition('"')[0]
        assert "default-src 'none'" in policy and policy.endswith("; connect-src 'self'")
        assert "unsafe-eval" not in policy


def test_a_run_that_cannot_be_read_any_more_is_told(tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    (run.folder / "code.json").unlink()
    with following(run.folder) as served:
        status, text = served.answer("/news")
        served.end()
    assert status == 503 and text.startswith(f"{run.folder / 'code.json'} cannot be read: ")


def test_a_port_that_is_taken_or_none(server: Served, tmp_path: Path) -> None:
    run = recorded(tmp_path / "run")
    with pytest.raises(CannotListen, match=rf"Port {server.port} cannot be listened on \(.*in use\); 0 takes one that"):
        LiveReport(run, port=server.port)
    with pytest.raises(CannotListen, match="from 0 to 65535"):
        LiveReport(run, port=65_536)
