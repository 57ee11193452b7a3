"""What a learner sees: JupyterLab in Chromium opens the laid workspace, runs all, and kills.

Screenshots go to build/screenshots/. Where Chromium is missing the tests are skipped with a
word, but not under CI=true.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from course_lib.grading import places

ROOT = Path(__file__).parents[1]
SHOTS = ROOT / "build" / "screenshots"
FLAGS = [
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
]
# Every code cell that is not empty shows a number, and none a star.
ALL_RAN = """() => [...document.querySelectorAll('.jp-Notebook .jp-CodeCell')].every(cell =>
    /[0-9]/.test(cell.querySelector('.jp-InputPrompt')?.textContent ?? '1'))"""
CELLS = ".jp-Notebook .jp-Cell"
pytestmark = pytest.mark.leaves("playwright keeps its driver until the module ends")


def missing(what: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(what)
    pytest.skip(what)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    found = [shutil.which(n) for n in ("chromium", "chromium-browser", "google-chrome")]
    path = next((p for p in found if p), None)
    if path is None:
        missing("no Chromium on this machine: apt-get install chromium")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: tests/requirements.txt lists it")
    with sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a JupyterLab over a freshly laid workspace."""
    home = tmp_path_factory.mktemp("home")
    environment = {
        **os.environ,
        "COURSE_WORKSPACE": str(home / "workspace"),
        "IPYTHONDIR": str(home / "ipython"),
        "JUPYTER_CONFIG_DIR": str(home / "config"),
        "JUPYTER_DATA_DIR": str(home / "data"),
        "JUPYTER_RUNTIME_DIR": str(home / "runtime"),
        "JUPYTER_TOKEN": "test",
    }
    lay = "from course_lib.grading.workspace import lay; print(lay())"
    subprocess.run([sys.executable, "-c", lay], env=environment, check=True, timeout=60)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    start = f"from course_lib.grading.jupyter import start; start(browser=False, port={port})"
    with (home / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-c", start], env=environment, stdout=log, stderr=log
        )
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url + "/api", server, home / "log")
        yield url
    finally:
        server.terminate()
        server.wait(timeout=20)


def wait_for(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and server.poll() is None:
        try:
            urllib.request.urlopen(url, timeout=1)
            return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()[-3000:]}")


@contextmanager
def opened(browser: Any, lab: str, lesson: str) -> Iterator[Any]:
    """The page of a lesson, all of whose cells have run; a screenshot is kept in any case."""
    path = places.notebook(ROOT / "notebooks", lesson)
    assert path is not None, f"there is no lesson {lesson}"
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    try:
        page.goto(f"{lab}/lab/tree/notebooks/{path.name}?reset&token=test")
        page.wait_for_selector(CELLS, timeout=60_000)
        page.wait_for_selector(r"text=/\| Idle/", timeout=60_000)
        page.click('.lm-MenuBar-item:has-text("Run")')
        page.click('.lm-Menu-item[data-command="runmenu:run-all"]')
        page.wait_for_function(ALL_RAN, timeout=120_000)
        yield page
    finally:
        SHOTS.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=SHOTS / f"{lesson}.png")
        page.close()


def served(page: Any) -> dict[str, int]:
    """What the page says each instance has served."""
    script = "all => all.map(e => [e.className, e.querySelector('[data-served]').dataset.served])"
    rows = page.eval_on_selector_all("[class*=served-]:has([data-served])", script)
    names = [next(c for c in classes.split() if c.startswith("served-")) for classes, _ in rows]
    return {n.removeprefix("served-"): int(r[1]) for n, r in zip(names, rows, strict=True)}


def assert_no_error(page: Any) -> None:
    errors = page.query_selector_all("[data-mime-type='application/vnd.jupyter.error']")
    assert not errors, errors[0].inner_text()


def test_the_first_lesson_runs_from_top_to_bottom(browser: Any, lab: str):
    with opened(browser, lab, "0.0") as page:
        assert_no_error(page)


def test_the_first_link_into_the_glossary_leads_to_its_word(browser: Any, lab: str):
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{lab}/lab/tree/notebooks/0.0-start-here.ipynb?reset&token=test")
    page.click("a[href*='glossary.ipynb'][href$='#Timeout']", timeout=60_000)
    in_view = """() => {
        const heading = document.querySelector('h2[data-jupyter-id="Timeout"]');
        const top = heading?.getBoundingClientRect().top ?? -1;
        return top > 0 && top < innerHeight;
    }"""
    page.wait_for_function(in_view, timeout=30_000)
    page.close()


@pytest.mark.parametrize("lesson", ["2.4", "3.1", "4.2"])
def test_a_killed_instance_stands_still_on_the_page_while_another_serves_on(
    browser: Any, lab: str, lesson: str
):
    with opened(browser, lab, lesson) as page:
        assert_no_error(page)
        page.wait_for_selector(".panel-status:has-text('running')", timeout=60_000)
        victim, *others = served(page)
        page.click(f"button.kill-{victim}")
        page.wait_for_selector(f".state-{victim}:has-text('down')")
        before = served(page)
        rises = f"""() => {others}.some(name => (
            {before}[name] + 50 <= +document.querySelector(`.served-${{name}} [data-served]`)
                .dataset.served))"""
        page.wait_for_function(rises, timeout=30_000)
        after = served(page)
        assert after[victim] == before[victim]
        assert any(after[name] > before[name] for name in others)
        pictures = page.query_selector_all(".jp-OutputArea img[src^='data:image/png']")
        assert pictures and all(len(p.get_attribute("alt") or "") > 20 for p in pictures)
        if lesson == "3.1":
            assert_a_partitioned_instance_stands_still(page, others[-2])
        in_view = "e => e.closest('.jp-OutputArea').scrollIntoView({block: 'center'})"
        page.eval_on_selector(f".served-{victim}", in_view)
        page.wait_for_timeout(500)  # for the screenshot alone


def assert_a_partitioned_instance_stands_still(page: Any, name: str) -> None:
    page.click(f"button.partition-{name}")
    page.wait_for_selector(f".state-{name}:has-text('parted')")
    before = served(page)[name]
    page.wait_for_timeout(1500)
    assert served(page)[name] <= before + 1  # one may have been on its way
    page.click(f"button.revive-{name}")
    page.wait_for_selector(f".state-{name}:has-text('up')")
