import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from unit.sdk.results import bench_result, three_results

from edgewright.errors import InputError, StorageError
from edgewright.report import check_output, html, label, markdown, rows, save, warnings
from edgewright_runtime.result import BenchResult


def test_ratios_are_to_the_first_result() -> None:
    first, second, third = rows(three_results())
    assert [cell.text for cell in first.cells] == ["1,869,440", "0.8753", "182", "188", "52.0"]
    assert {cell.ratio for cell in first.cells} == {""}
    assert [cell.ratio for cell in second.cells] == ["0.28×", "1.00×", "0.38×", "0.38×", "0.91×"]
    assert third.cells[1].text == "0.8726"


def test_what_was_not_measured_is_a_dash() -> None:
    (row,) = rows([bench_result(accuracy=None, peak_mb=None)])
    assert [cell.text for cell in row.cells][1::3] == ["–", "–"]
    unscored = [bench_result(accuracy=None), bench_result(accuracy=0.5)]
    assert rows(unscored)[1].cells[1].ratio == ""
    assert rows([bench_result(accuracy=0.0), bench_result(accuracy=0.5)])[1].cells[1].ratio == ""


def test_small_latencies_keep_their_digits() -> None:
    (row,) = rows([bench_result(p50_us=1.5)])
    assert re.fullmatch(r"1\.\d\d", row.cells[2].text)


def test_a_label_says_the_mode_once() -> None:
    assert label(bench_result("intents", "int8")) == "intents int8"
    assert label(bench_result("intents-int8", "int8")) == "intents-int8"


def test_no_results_is_told() -> None:
    with pytest.raises(InputError, match="no bench results"):
        rows([])


def test_markdown_has_every_row_and_column() -> None:
    lines = markdown([bench_result("a|b"), *three_results()]).splitlines()
    assert len(lines) == 6
    assert lines[2].startswith("| a\\|b float32 |")
    assert "| 532,648 (0.28×) | 0.8753 (1.00×) |" in lines[4]


class _Page(HTMLParser):
    """Every tag with its attributes, every id, and every address that a browser would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.loads: list[str] = []
        self.references: list[str] = re.findall(r"url\(#([^)]+)\)", page)
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(str(value))
            if name in ("src", "href", "xlink:href", "data", "action"):
                (self.references if str(value).startswith("#") else self.loads).append(str(value).lstrip("#"))


def test_the_page_needs_no_network_and_no_script() -> None:
    page = html(three_results(), device="kitchen")
    parsed = _Page(page)
    assert parsed.loads == []
    assert "script" not in parsed.tags
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert parsed.tags.count("svg") == 4


def test_the_plots_do_not_share_ids() -> None:
    parsed = _Page(html(three_results()))
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.references
    assert set(parsed.references) <= set(parsed.ids)


def test_the_page_shows_the_table_and_the_board() -> None:
    page = html(three_results(), device="kitchen", title="Intents")
    for text in ("On kitchen.", "0.38×", "Raspberry Pi 4 Model B", "litert 2.3.0", "2,221 samples", "<title>Intents"):
        assert text in page
    assert 'class="warning"' not in page


def test_names_cannot_inject_markup() -> None:
    hostile = "<script>alert(1)</script>&'\""
    page = html([bench_result(hostile)], device=hostile, title=hostile)
    assert "script" not in _Page(page).tags


def test_what_makes_a_measurement_doubtful_is_told() -> None:
    page = html([bench_result(throttled=["throttled"]), bench_result("busy", load=9.5)])
    assert "the board reports throttled after the bench" in page
    assert "busy with other work (load 9.5 on 4 cores)" in page


def test_same_results_same_page() -> None:
    assert html(three_results()) == html(three_results())


def test_one_unscored_result_and_many_results_have_plots() -> None:
    assert _Page(html([bench_result(accuracy=None, peak_mb=None)])).tags.count("svg") == 2
    assert _Page(html([bench_result(f"model-{i}-float32") for i in range(12)])).tags.count("svg") == 4


def test_results_are_saved_with_their_samples(tmp_path: Path) -> None:
    results = three_results()
    save(tmp_path / "results.json", results)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["kind"] == "bench-list"
    assert [BenchResult.from_document(entry) for entry in document["results"]] == results
    save(tmp_path / "results.md", results)
    assert (tmp_path / "results.md").read_text() == markdown(results)


def test_a_report_that_could_not_be_saved_is_told_before(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not as report\.pdf: choose one"):
        check_output(Path("report.pdf"))
    with pytest.raises(InputError, match="There is no folder"):
        check_output(tmp_path / "missing" / "report.html")
    (tmp_path / "report.md").mkdir()
    with pytest.raises(StorageError, match="is a folder, not a file"):
        save(tmp_path / "report.md", three_results())


def test_an_emulated_board_is_named_once_wherever_its_times_are_shown() -> None:
    results = [bench_result("one"), bench_result("two")]
    for result in results:
        result.environment["board"]["emulated"] = "qemu: times say nothing"
    assert warnings(results) == ["The board is emulated (qemu: times say nothing)."]
    assert markdown(results).count("times say nothing") == html(results).count("times say nothing") == 1
