import re
from html.parser import HTMLParser
from pathlib import Path

from bertkit.reports.page import Commands, Fact, Matrix, Paragraph, Plots, Report, Section, Table, write_report
from bertkit.reports.plots import Axis, Series, plot

VOID = {"meta", "br", "hr", "img", "input", "link"}


class Balanced(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def curve(name: str = "plot") -> str:
    series = [Series(label="with <bars>", x=[1, 10, 100], y=[1.0, 2.0, 3.0], spread=[0.1, 0.2, 0.3])]
    return plot(series, Axis(label="x", logarithmic=True), Axis(label="y"), name)


def page(path: Path) -> str:
    blocks = [
        Paragraph(text="Set `code <b>` so."),
        Plots(svgs=[curve()], caption="a plot"),
        Table(head=("name", "value"), rows=[("<i>", "3")]),
        Matrix(labels=("a", "b"), counts=[[3, 1], [0, 4]], caption="counts"),
        Commands(text="run --this <file>"),
    ]
    report = Report(
        title="A <title>",
        lead="Lead.",
        facts=[Fact(value="1", label="fact")],
        sections=[Section(title="S", blocks=blocks)],
    )
    write_report(path, report)
    return path.read_text(encoding="utf-8")


def test_every_block_is_on_a_page_of_balanced_tags(tmp_path: Path):
    parser = Balanced()
    parser.feed(page(tmp_path / "report.html"))
    assert parser.open == []
    for text in ("A <title>", "code <b>", "<i>", "run --this <file>", "with <bars>"):
        assert text in parser.text


def test_the_page_loads_nothing(tmp_path: Path):
    text = page(tmp_path / "report.html")
    loaded = re.findall(r"(?:src|href)=\"([^\"]*)\"|url\(([^)]*)\)", text)
    assert all(address.startswith("#") for pair in loaded for address in pair if address)
    assert "@import" not in text


def test_the_matrix_is_shaded_by_the_share_of_the_row(tmp_path: Path):
    text = page(tmp_path / "report.html")
    assert re.findall(r"var\(--accent\) (\d+)%", text) == ["75", "25", "0", "100"]


def test_a_plot_takes_its_colours_and_width_from_the_page():
    svg = curve()
    assert "var(--series-1)" in svg
    assert "var(--ink)" in svg
    assert not re.search(r"#(?:0101|0202|0303)0\d", svg)
    assert not re.search(r"<svg[^>]*width=", svg)


def test_the_same_plot_is_the_same_text():
    assert curve() == curve()
    assert curve() != curve("another name")
