import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from unit.sdk.results import bench_result, three_results

from edgewright.errors import InputError, StorageError
from edgewright.quantities import label, labels, rows
from edgewright.report import as_csv, check_output, html, load, markdown, save, summary
from edgewright.sections import sections
from edgewright.steadiness import warnings
from edgewright_runtime.result import BenchResult


@pytest.fixture(scope="module")
def page() -> str:
    return html(three_results(), title="Intents")


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
    assert lines[6:8] == ["", "## Latency"]
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


def test_the_page_needs_no_network_and_no_script(page: str) -> None:
    parsed = _Page(page)
    assert parsed.loads == []
    assert "script" not in parsed.tags
    assert "@import" not in page
    assert not re.findall(r"url\((?!#)", page)
    assert parsed.tags.count("svg") == 6


def test_the_plots_do_not_share_ids(page: str) -> None:
    parsed = _Page(page)
    assert len(parsed.ids) == len(set(parsed.ids))
    assert parsed.references
    assert set(parsed.references) <= set(parsed.ids)


def test_the_page_shows_the_tables_and_the_board(page: str) -> None:
    for text in (
        "On kitchen.",
        "Cold start",
        "Compared pair by pair",
        "FULLY_CONNECTED",
        "1.50 GHz",
        "0.38×",
        "Raspberry Pi 4 Model B",
        "litert 2.3.0",
        "2,221 samples",
        "<title>Intents",
    ):
        assert text in page
    assert 'class="warning"' not in page


def test_names_cannot_inject_markup() -> None:
    hostile = "<script>alert(1)</script>&'\""
    page = html([bench_result(hostile, device=hostile)], title=hostile)
    assert "script" not in _Page(page).tags


def test_what_makes_a_measurement_doubtful_is_told() -> None:
    page = html([bench_result(throttled=["throttled"]), bench_result("busy", load=9.5)])
    assert "On kitchen, the board reported throttled: these times are not steady." in page
    assert "busy with other work (load 9.5 on 4 cores)" in page


def test_same_results_same_page(page: str) -> None:
    assert html(three_results(), title="Intents") == page


def test_one_unscored_result_and_many_results_have_plots() -> None:
    assert _Page(html([bench_result(accuracy=None, peak_mb=None)])).tags.count("svg") == 4
    many = [
        replace(
            bench_result(f"model-{i}-float32", device=f"board{i % 3}"),
            throughput=[{"callers": n, "threads": 1, "per_second": 90.0 * n, "p50_ns": 9, "p90_ns": 9} for n in (1, 2)],
            profile={"method": "cut graph", "whole_ns": 9, "parts": [{"first": 0, "last": 1, "ns": 9}]},
        )
        for i in range(5)
    ]
    assert _Page(html(many)).tags.count("svg") == 8


def test_results_are_saved_with_their_samples(tmp_path: Path) -> None:
    results = three_results()
    save(tmp_path / "results.json", results)
    document = json.loads((tmp_path / "results.json").read_text())
    assert document["kind"] == "bench-list"
    assert [BenchResult.from_document(entry) for entry in document["results"]] == results
    assert load([tmp_path / "results.json"] * 2) == results * 2
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


def test_results_of_several_devices_are_told_apart() -> None:
    assert labels([bench_result("a", "int8", device="one"), bench_result("a", "int8", device="two")]) == [
        "a int8 on one",
        "a int8 on two",
    ]
    assert labels([bench_result("a", "int8"), bench_result("b", "int8", device="x")]) == ["a int8", "b int8"]
    assert labels([bench_result("a", "int8")] * 2) == ["a int8 (1)", "a int8 (2)"]


def test_csv_and_json_hold_numbers() -> None:
    (first, *_, last) = csv.DictReader(io.StringIO(as_csv(three_results())))
    assert (float(first["p50_us"]), int(last["model_bytes"]), first["single_stream_us"]) == (
        pytest.approx(182, rel=0.01),
        553_080,
        "",
    )
    document = summary(three_results())
    json.dumps(document)
    assert [entry["second"] for entry in document["comparisons"]] == [
        "intents-dynamic-int8",
        "intents-int8",
        "intents-int8",
    ]
    assert document["comparisons"][0]["interval"] is None


def test_a_percentile_needs_samples() -> None:
    few = replace(
        bench_result(),
        latency_ns=[5] * 40,
        call_ns=[6] * 40,
        at_ns=[0] * 40,
        blocks=[{"launch": 0, "round": 0, "runs": 40, "preempted": 0}],
        settings={"inputs": "golden", "single_stream": True},
    )
    (line,) = sections([few])[0].lines
    assert line[1:] == ("40", "0.01 (0.01–0.01)", "0.01 (0.01–0.01)", "–", "–", "–")


def test_a_long_profile_is_cut_to_what_takes_most() -> None:
    operators = [{"operator": f"OP{index}", "name": "", "bytes": index} for index in range(30)]
    parts = [{"first": 2 * index, "last": 2 * index + 1, "ns": 1000 * index} for index in range(15)]
    result = replace(
        bench_result(), operators=operators, profile={"method": "cut graph", "whole_ns": 105_000, "parts": parts}
    )
    (section,) = (section for section in sections([result]) if section.title.startswith("Operators"))
    assert section.lines[0] == ("28 OP28 to 29 OP29", "57", "14.0", "13%")
    assert section.lines[-1] == ("3 others", "15", "3.00", "3%")
    assert "cutting the graph" in section.note


@pytest.mark.parametrize(
    "content", ["", "[]", "{}", '{"results": []}', '{"results": [{"schema": 1}]}', '{"results": 3}']
)
def test_what_holds_no_results_is_told_with_its_path(tmp_path: Path, content: str) -> None:
    path = tmp_path / "mine.json"
    with pytest.raises(InputError, match=r"Cannot read .*mine\.json"):
        load([path])
    path.write_text(content)
    with pytest.raises(InputError, match=r"mine\.json"):
        load([path])
