"""`python -m benchmarks.report` measures, and writes the figures, the charts and the tables of docs/performance.md.

It needs matplotlib and, for the rivals, `pip install 'deltamark[rivals]'`.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import click

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks" / "results" / "figures.json"
PAGE = ROOT / "docs" / "performance.md"
CHARTS = ROOT / "docs" / "charts"
PARTS = ("jobs", "derived_values", "history", "start", "pages", "serve", "rivals", "growth")
STEPS = ("first load", "1 % changed", "nothing changed")
DELETIONS = ("an empty extract deletes", "a truncated extract deletes")

_BLUE, _GREY, _RED = "#1f5fa8", "#9aa4ae", "#b3432f"

IMAGES = {
    "rivals": "Rows a second of each tool in three steps, and what bad extracts delete",
    "growth": "Seconds of each job from 10,000 people on",
    "events": "Events read a second with 1, 10 and 100 events a resource",
}
"""Chart -> what it shows."""

Row = dict[str, Any]


SIZES = (1_000_000, 500_000, 200_000, 100_000, 50_000, 20_000, 10_000)
FIXED_S, PERSON_S = 300.0, 0.005
"""What all parts take on two quiet processors: whatever the size, and for each person."""
GROWTH_S = 0.00035
"""What growth takes for each person of its largest size beyond --people."""


def size_for(minutes: float) -> int:
    """Returns the largest number of people that is measured in so many minutes on two quiet processors."""
    return next((size for size in SIZES if minutes_for(size, size) <= minutes), SIZES[-1])


def minutes_for(people: int, largest: int) -> float:
    """Returns about how many minutes all parts take on two quiet processors."""
    return (FIXED_S + PERSON_S * people + GROWTH_S * max(0, largest - people)) / 60


@click.command()
@click.option("--people", type=int, help="The number of people; without it, as many as --minutes allow.")
@click.option("--minutes", default=15.0, show_default=True, help="How long it may take on two quiet processors.")
@click.option("--largest", default=None, type=int, help="The largest number of people of the growth; that of --people.")
@click.option("--page-only", is_flag=True, help="Measures nothing: writes charts and tables from the kept figures.")
def main(people: int | None, minutes: float, largest: int | None, page_only: bool) -> None:
    """Measures, and writes benchmarks/results/figures.json, docs/charts and the tables of docs/performance.md."""
    if not page_only:
        people = people or size_for(minutes)
        largest = largest or people
        print(
            f"about {minutes_for(people, largest):,.0f} minutes on two quiet processors, {people:,} people", flush=True
        )
        command = [sys.executable, "-m", "benchmarks", *PARTS, "--people", str(people), "--store", "sqlite"]
        command += ["--largest", str(largest), "--json", str(RESULTS)]
        RESULTS.unlink(missing_ok=True)
        subprocess.run(command, check=False)  # what failed is in its results
        if not RESULTS.exists():
            raise SystemExit("nothing was measured: the reasons are above. The page is as it was.")
    kept = json.loads(RESULTS.read_text())
    draw(kept["figures"])
    PAGE.write_text(page_with(PAGE.read_text(), kept))
    if kept.get("failures"):
        raise SystemExit(f"not everything was measured; the page says what:\n{_failures(kept)}")


def page_with(text: str, kept: dict[str, Any]) -> str:
    """A page with the tables of some figures between its markers."""
    rows = kept["figures"]
    machine = kept["machine"]
    sections = {
        "machine": (
            f"{kept['people']:,} people, medians of {kept['rounds']} rounds, {machine['processors']} processors "
            f"({machine['architecture']}), {machine['system']}, Python {machine['python']}, "
            f"DuckDB {machine['duckdb']}, SQLite {machine['sqlite']}."
            if rows
            else ""
        )
        + _failures(kept),
        "goals": _goals(rows),
        "rivals": _rivals(rows),
        "growth": _growth(rows),
        "events": _events(rows),
    }
    for name, section in sections.items():
        section = section or "There are no figures yet: `python -m benchmarks.report` measures them."
        if name in IMAGES and (CHARTS / f"{name}.svg").exists():
            section = f"![{IMAGES[name]}](charts/{name}.svg)\n\n{section}"
        begin, end = f"<!-- figures: {name} -->", f"<!-- end: {name} -->"
        before, _, rest = text.partition(begin)
        _, _, after = rest.partition(end)
        text = f"{before}{begin}\n{section}\n{end}{after}"
    return text


def _failures(kept: dict[str, Any]) -> str:
    """The list of what was not measured, each with the last line of the reason."""
    failures = kept.get("failures", ())
    lines = [
        f"- {failure['name'] or failure['part']} (part `{failure['part']}`): {failure['reason'].splitlines()[-1][:200]}"
        for failure in failures
    ]
    return "\n\nNot measured:\n\n" + "\n".join(lines) if lines else ""


def _goals(rows: Iterable[Row]) -> str:
    lines = [
        [
            row["name"], _span(row), _rate(row), _ratio(row), _memory(row), _goal(row),
        ]
        for row in rows
        if row["part"] in ("jobs", "derived_values", "history") and not row["name"].startswith("its task")
    ]  # fmt: skip
    return _table(("work", "median (minimum to maximum)", "rate", "times its limit", "peak", "goal"), lines)


def _rivals(rows: Sequence[Row]) -> str:
    lines = []
    for name in _complete_rivals(rows):
        own = {row["name"]: row for row in rows if row["part"] == "rivals" and row["store"] == name}
        parameters = own[STEPS[0]]["parameters"]
        title = " ".join(filter(None, (name, parameters["version"])))
        steps = [f"{own[step]['rate']:,.0f}" for step in STEPS]
        deleted = [f"{own[step]['value']:,.0f}" for step in DELETIONS]
        peak = max(own[step].get("megabytes", 0) for step in STEPS)
        disk = own[STEPS[1]]["disk_bytes"] / parameters["people"]
        lines.append([title, f"{parameters['people']:,}", *steps, *deleted, f"{peak:,.0f} MB", f"{disk:,.0f}"])
    head = (
        "tool", "people", "first load, rows/s", "1 % changed, rows/s", "nothing changed, rows/s",
        "an empty extract deletes", "half an extract deletes", "peak", "bytes on disk a person",
    )  # fmt: skip
    settings = [
        f"- {row['store']}: {row['parameters']['setting']}."
        for row in rows
        if row["part"] == "rivals" and row["name"] == STEPS[0]
    ]
    return "\n".join([_table(head, lines), "", *settings]) if lines else ""


def _complete_rivals(rows: Sequence[Row]) -> list[str]:
    """The tools of which every step was measured."""
    steps: dict[str, set[str]] = {}
    for row in rows:
        if row["part"] == "rivals":
            steps.setdefault(row["store"], set()).add(row["name"])
    return [name for name, done in steps.items() if done >= {*STEPS, *DELETIONS}]


def _growth(rows: Iterable[Row]) -> str:
    lines = [
        [
            row["name"], f"{row['parameters']['people']:,}", _span(row), _rate(row), _memory(row),
            f"{row['disk_bytes'] / 1e6:,.0f} MB" if "disk_bytes" in row else "",
        ]
        for row in rows
        if row["part"] == "growth" and "people" in row["parameters"]
    ]  # fmt: skip
    return _table(("work", "people", "median (minimum to maximum)", "rate", "peak", "on disk"), lines)


def _events(rows: Iterable[Row]) -> str:
    lines = [
        [row["name"], f"{row['parameters']['resources']:,}", _span(row), _rate(row), _ratio(row), _memory(row)]
        for row in rows
        if row["part"] == "growth" and "events" in row["parameters"]
    ]
    return _table(("work", "resources", "median (minimum to maximum)", "rate", "times its limit", "peak"), lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table, or nothing without a line."""
    if not lines:
        return ""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _span(row: Row) -> str:
    value = f"{_number(row['value'])} {row['unit']}"
    return value if row["rounds"] == 1 else f"{value} ({_number(row['minimum'])} to {_number(row['maximum'])})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}" if value >= 1 else f"{value:.3g}"


def _rate(row: Row) -> str:
    return f"{row['rate']:,.0f} {row['things']}/s" if "rate" in row else ""


def _ratio(row: Row) -> str:
    return f"{row['ratio']:.2f} × {row['limit']}" if "ratio" in row else ""


def _memory(row: Row) -> str:
    return f"{row['megabytes']:,.0f} MB" if "megabytes" in row else ""


def _goal(row: Row) -> str:
    if "goal" not in row:
        return ""
    goal = row["goal"]
    words = f"at least {goal['at_least']:,g}" if goal.get("at_least") is not None else f"at most {goal['at_most']:,g}"
    return f"{words} ({goal['of']})" + ("" if row.get("is_met", True) else ", **missed**")


def draw(rows: Sequence[Row]) -> None:
    """Draws the charts as SVG, the same bytes for the same figures."""
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update(
        {
            "svg.hashsalt": "deltamark", "svg.fonttype": "none", "font.size": 10, "axes.spines.top": False,
            "axes.spines.right": False, "figure.constrained_layout.use": True,
        }
    )  # fmt: skip
    CHARTS.mkdir(parents=True, exist_ok=True)
    growth = [row for row in rows if row["part"] == "growth"]
    for drawn, own in (
        (_draw_growth, [row for row in growth if "people" in row["parameters"]]),
        (_draw_events, [row for row in growth if "events" in row["parameters"]]),
        (_draw_rivals, [row for row in rows if row["part"] == "rivals"]),
    ):
        if own:
            drawn(own)


def _draw_growth(rows: Sequence[Row]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 4))
    limit = {row["parameters"]["people"]: row["limit_value"] for row in rows if "limit_value" in row}
    for name in dict.fromkeys(row["name"] for row in rows):
        own = [row for row in rows if row["name"] == name]
        sizes = [row["parameters"]["people"] for row in own]
        spread = [[row["value"] - row["minimum"] for row in own], [row["maximum"] - row["value"] for row in own]]
        axes.errorbar(sizes, [row["value"] for row in own], spread, marker="o", capsize=3, label=name)
    axes.plot(
        list(limit), list(limit.values()), color=_GREY, linestyle="--", marker=".", label="DuckDB comparing the files"
    )
    axes.set(xscale="log", yscale="log", xlabel="people", ylabel="seconds")
    axes.grid(color="#e3e6e9", which="major")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, "growth")


def _draw_events(rows: Sequence[Row]) -> None:
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.5))
    own = [row for row in rows if "rate" in row]
    for name in dict.fromkeys(row["name"].rpartition(",")[0] for row in own):
        of_name = [row for row in own if row["name"].startswith(f"{name},")]
        axes.plot(
            [row["parameters"]["events"] for row in of_name], [row["rate"] for row in of_name], marker="o", label=name
        )
    axes.set(xscale="log", xlabel="events a resource", ylabel="events a second")
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    axes.grid(color="#e3e6e9")
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    _save(figure, "events")


def _draw_rivals(rows: Sequence[Row]) -> None:
    from matplotlib import pyplot as plt

    names = _complete_rivals(rows)[::-1]
    if not names:
        return
    figure, all_axes = plt.subplots(1, len(STEPS) + 1, figsize=(10, 3.5), sharey=True)
    for axes, step in zip(all_axes, STEPS, strict=False):
        rates = {row["store"]: row["rate"] for row in rows if row["name"] == step}
        colors = [_BLUE if name == "Deltamark" else _GREY for name in names]
        bars = axes.barh(names, [rates[name] for name in names], color=colors)
        axes.bar_label(bars, [f"{rates[name] / 1000:,.0f}" for name in names], padding=3, fontsize=8)
        axes.set(title=step, xlabel="thousand rows a second", xscale="log")
        axes.set_xlim(right=max(rates[name] for name in names) * 4)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:,g}")
        axes.xaxis.set_minor_formatter("")
    axes = all_axes[-1]
    for offset, (label, shade) in enumerate(zip(DELETIONS, (_RED, "#d9a79c"), strict=True)):
        deleted = {row["store"]: row["value"] / row["parameters"]["people"] for row in rows if row["name"] == label}
        places = [place + 0.2 - 0.4 * offset for place in range(len(names))]
        words = label.removesuffix(" deletes")
        axes.barh(places, [deleted[name] * 100 for name in names], height=0.4, color=shade, label=words)
    axes.set(title="deleted by", xlabel="percent of the people", xlim=(0, 110))
    axes.legend(frameon=False, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    _save(figure, "rivals")


def _save(figure: Any, name: str) -> None:
    from matplotlib import pyplot as plt

    path = CHARTS / f"{name}.svg"
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    lines = path.read_text(encoding="utf-8").splitlines()
    path.write_text("\n".join(line.rstrip() for line in lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
