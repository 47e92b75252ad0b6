"""The report in a real browser, without a network, as wide as a phone and as a desktop."""

import json
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from unit.sdk.results import three_results

from edgewright.report import html

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [pytest.mark.slow, pytest.mark.skipif(BROWSER is None, reason="chromium is not installed")]

# Appended to a copy of the page, which has no script itself: what a reader would see of it, in its title.
_LOOK = """
<script>
const box = (element) => element.getBoundingClientRect();
const visible = [...document.querySelectorAll("h1, h2, td, dd, figure, figcaption")];
document.title = JSON.stringify({
  width: document.documentElement.clientWidth,
  content: document.documentElement.scrollWidth,
  outside: visible.filter((e) => box(e).width && (box(e).right > innerWidth + 1 || box(e).left < 0)).map(
    (e) => e.textContent),
  plots: [...document.querySelectorAll("figure svg")].map((e) => [box(e).width, box(e).height]),
  cut: [...document.querySelectorAll("figure svg")].flatMap((svg) => [...svg.querySelectorAll("text")].filter(
    (e) => box(e).right > box(svg).right + 1 || box(e).left < box(svg).left - 1).map((e) => e.textContent)),
  font: Math.min(...visible.map((e) => parseFloat(getComputedStyle(e).fontSize))),
  heads: [...document.querySelectorAll("thead")].map((e) => box(e).width > 1),
});
</script>
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    results = [
        replace(
            result,
            throughput=[{"callers": n, "threads": 1, "per_second": 90 * n, "p50_ns": 9, "p90_ns": 9} for n in (1, 2)],
            profile={"method": "cut graph", "whole_ns": 9000, "parts": [{"first": 0, "last": 1, "ns": 9000}]},
            device="a-device-with-quite-a-long-name.local",
        )
        for result in three_results()
    ]
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(html(results, title="Intents") + _LOOK)
    return path


@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_fits(page: Path, tmp_path: Path, width: int) -> None:
    assert BROWSER is not None
    argv = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
    argv += [f"--user-data-dir={tmp_path}"]
    argv += ["--host-resolver-rules=MAP * ~NOTFOUND", f"--window-size={width},4000", "--virtual-time-budget=2000"]
    # A window may be no narrower than the browser likes: the page is looked at in a frame.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<body style="margin:0"><iframe src="{page.as_uri()}" style="width:{width}px;height:4000px;border:0"></iframe>'
        '<script>const f = document.querySelector("iframe");'
        "f.onload = () => { document.title = f.contentDocument.title; };</script>"
    )
    argv += ["--allow-file-access-from-files", "--dump-dom", frame.as_uri()]
    dom = subprocess.run(argv, capture_output=True, text=True, timeout=120).stdout
    title = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert title is not None, dom[:2000]
    seen = json.loads(unescape(title[1]))
    assert seen["width"] == width
    assert seen["content"] <= width
    assert seen["outside"] == []
    assert seen["cut"] == []
    assert len(seen["plots"]) == 8
    assert all(wide > 250 and high > 100 for wide, high in seen["plots"])
    assert seen["font"] >= 12
    assert set(seen["heads"]) == {width > 640}
