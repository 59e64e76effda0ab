"""The HTML report in a real browser: every plot is drawn, nothing fails, nothing is fetched."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from simulator.run.result import RunResult

from .factory import empty_result, make_result, report_html

pytestmark = pytest.mark.browser

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=5000",
    "--dump-dom",
)
# Runs before the page's own scripts and keeps what they would otherwise only tell a person.
WATCH = """<script>
window.seen = {errors: [], blocked: []};
addEventListener("error", (event) => seen.errors.push(event.message));
addEventListener("unhandledrejection", (event) => seen.errors.push(String(event.reason)));
addEventListener("securitypolicyviolation", (event) => seen.blocked.push(event.blockedURI));
</script>"""
# Runs when the page is done: `ACT` first, then what there is to see goes into attributes.
REPORT = """<script>
addEventListener("load", () => setTimeout(() => {
  ACT;
  setTimeout(() => {
    for (const figure of document.querySelectorAll("figure[data-plot]")) {
      const canvas = figure.querySelector("canvas");
      const pixels = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
      figure.dataset.pixels = pixels.filter((value, index) => index % 4 === 3 && value > 0).length;
      figure.dataset.size = canvas.clientWidth + "x" + canvas.clientHeight;
      figure.dataset.axis = [...figure.querySelectorAll(".data tr")].length;
    }
    const found = (query) => [...document.querySelectorAll(query)];
    const shown = (query) => found(query).filter((one) => one.checkVisibility()).length;
    const root = document.documentElement.dataset;
    root.errors = seen.errors.join("; ");
    root.blocked = seen.blocked.join("; ");
    root.fetched = performance.getEntriesByType("resource").map((one) => one.name).join("; ");
    root.up = shown('tr[data-direction="up"]');
    root.down = shown('tr[data-direction="down"]');
    root.holds = shown(".holds");
    root.overflow = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  }, 300);
}, 300));
</script>"""


@dataclass(frozen=True)
class Seen:
    """What the browser made of a page: the root's attributes, and each figure's."""

    root: dict[str, str]
    figures: list[dict[str, str]]


def attributes(tag: str) -> dict[str, str]:
    return dict(re.findall(r'data-([a-z]+)="([^"]*)"', tag))


@pytest.fixture(scope="module")
def chromium() -> str:
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        message = "Chromium is missing: apt-get install chromium"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    return found


def look(chromium: str, folder: Path, results: list[RunResult], *, act: str = "", width: int = 1280) -> Seen:
    """Opens a report as a file, does `act` (JavaScript) in it, and returns what is there then."""
    html = report_html(results).replace("<title>", WATCH + "<title>", 1)
    page = folder / "report.html"
    page.write_text(html.replace("</body>", REPORT.replace("ACT", act) + "</body>"), encoding="utf-8")
    command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},900"]
    ran = subprocess.run([*command, page.as_uri()], capture_output=True, text=True, check=True, timeout=120)
    root = re.search(r"<html[^>]*>", ran.stdout)
    assert root is not None, ran.stderr
    figures = re.findall(r"<figure[^>]*>", ran.stdout)
    return Seen(attributes(root.group()), [attributes(figure) for figure in figures])


def assert_sound(seen: Seen, figures: int) -> None:
    assert seen.root["errors"] == ""
    assert "error" not in seen.root
    assert seen.root["fetched"] == seen.root["blocked"] == ""
    assert len(seen.figures) == figures
    for figure in seen.figures:
        width, height = map(int, figure["size"].split("x"))
        assert figure["rendered"] == "true", figure
        assert min(width, height) >= 80, figure
        assert int(figure["pixels"]) > 1000, figure


def test_every_plot_of_one_run_is_drawn(chromium: str, tmp_path: Path) -> None:
    assert_sound(look(chromium, tmp_path, [make_result()]), 6)


def test_every_plot_of_several_runs_is_drawn_on_a_phone(chromium: str, tmp_path: Path) -> None:
    runs = [make_result("</script><script>throw 1"), make_result("4 replicas", fixed=4)]
    seen = look(chromium, tmp_path, runs, width=500)
    assert_sound(seen, 3 + 2 * 6)
    assert int(seen.root["overflow"]) <= 0, "the page itself never scrolls sideways"


def test_a_run_in_which_nothing_happened_draws_empty_plots(chromium: str, tmp_path: Path) -> None:
    assert_sound(look(chromium, tmp_path, [empty_result()]), 6)


def test_zooming_the_linear_scale_and_the_tables_work(chromium: str, tmp_path: Path) -> None:
    act = """
    document.querySelector('[data-zoom="in"]').click();
    document.querySelector('[data-scale="log"]').click();
    document.querySelectorAll("details.alternative").forEach((one) => { one.open = true; });
    document.querySelector('[data-show="up"]').click()"""
    seen = look(chromium, tmp_path, [make_result()], act=act)
    assert_sound(seen, 6)
    assert int(seen.root["up"]) > 0
    assert (seen.root["down"], seen.root["holds"]) == ("0", "0")
    assert all(int(figure["axis"]) > 5 for figure in seen.figures), "each table has rows"


def test_without_a_filter_scalings_and_holds_are_shown(chromium: str, tmp_path: Path) -> None:
    root = look(chromium, tmp_path, [make_result()]).root
    assert min(int(root["up"]), int(root["down"]), int(root["holds"])) > 0
