"""What a million assets cost, as a table and as a plot."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    Figures = dict[str, Any]

_PARTS = {"server_s": "Rucio server", "postgresql_s": "PostgreSQL", "client_s": "client"}
_COLUMNS = (
    "assets", "an hour", *(f"{name}, µs" for name in _PARTS.values()), "together", "of the first",
    "requests for 1,000", "client, MB", "server, MB", "bytes an asset", "load",
)  # fmt: skip


def write_report(figures: Figures, folder: Path) -> None:
    """Write `million.md` and `million.svg` of the steps that are done, if any is."""
    steps = [*_done(figures)]
    if not steps:
        return
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *(_row(step, steps[0]) for step in steps)]
    asked = [("asked of", "what", "elapsed", *_PARTS.values(), "requests", "load"), ["---"] * 8]
    for number, questions in figures["questions"].items():
        for name, run in questions.items():
            if isinstance(run, dict) and "seconds" in run:
                asked.append([f"{int(number) * figures['step']:,}", name, *_question(run)])
    lines = [f"| {' | '.join(row)} |" for row in rows]
    lines += ["", *(f"| {' | '.join(row)} |" for row in asked)]
    (folder / "million.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    _plot(steps, folder / "million.svg")


def _done(figures: Figures) -> Iterator[Figures]:
    """Yield what a step cost, for each asset: the sum of its runs, however often it began."""
    size = figures["registered"]
    for number, step in enumerate(figures["steps"], 1):
        if "tables" not in step:
            return
        runs = [run for run in step["runs"] if "seconds" in run]
        yield {
            "assets": number * figures["step"],
            "seconds": sum(run["seconds"] for run in runs),
            **{part: sum(run[part] for run in runs) / size * 1e6 for part in _PARTS},
            "an hour": size / sum(run["seconds"] for run in runs) * 3600,
            "requests": sum(sum(run["requests"].values()) for run in runs) / size * 1000,
            "client_mb": max(run["client_mb"] for run in runs),
            "server_mb": runs[-1]["server_mb"],
            "bytes": sum(table[0] for table in step["tables"].values())
            / (number * figures["step"]),
            "load": runs[-1]["load"],
            "yardstick_s": sum(run["yardstick_s"] * run["seconds"] for run in runs)
            / sum(run["seconds"] for run in runs),
        }


def _busy_us(step: Figures) -> float:
    return float(sum(step[part] for part in _PARTS))


def _row(step: Figures, first: Figures) -> list[str]:
    # In units of the yardstick's work: a busy processor does less in a second.
    slower = _busy_us(step) / step["yardstick_s"] / (_busy_us(first) / first["yardstick_s"])
    return [
        f"{step['assets']:,}",
        f"{step['an hour']:,.0f}",
        *(f"{step[part]:,.0f}" for part in _PARTS),
        f"{_busy_us(step):,.0f}",
        f"{_busy_us(step) / _busy_us(first):.2f} ({slower:.2f})",
        f"{step['requests']:.1f}",
        f"{step['client_mb']:.0f}",
        f"{step['server_mb']:.0f}",
        f"{step['bytes']:,.0f}",
        f"{step['load']:.0f}",
    ]


def _question(run: Figures) -> list[str]:
    times = run.get("times", 1)
    return [
        f"{run['seconds'] / times:.2f} s",
        *(f"{run[part] / times:.2f} s" for part in _PARTS),
        f"{sum(run['requests'].values()) / times:.0f}",
        f"{run['load']:.0f}",
    ]


# Where pages are dark, what is drawn in black, or inherits it, is light.
_DARK = """<style>@media (prefers-color-scheme: dark) {
  text, [style*="fill: #000000"] { fill: #e3e8f2 !important }
  [style*="stroke: #000000"] { stroke: #e3e8f2 !important }
}</style>"""


def _plot(steps: list[Figures], file: Path) -> None:
    """Draw the processor time of an asset in each step, on what is behind it."""
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import pyplot as plt

    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "million", "font.size": 9}):
        figure, axes = plt.subplots(figsize=(6, 3.2))
        places = [step["assets"] / 1000 for step in steps]
        below = [0.0] * len(steps)
        for part, name in _PARTS.items():
            heights = [step[part] for step in steps]
            axes.bar(places, heights, places[0] * 0.7, bottom=below, label=name)
            below = [sum(pair) for pair in zip(below, heights, strict=True)]
        axes.set(xlabel="thousand assets in Rucio", ylabel="processor time of an asset, µs")
        axes.margins(y=0.2)
        axes.legend(loc="upper center", ncols=3, frameon=False)
        figure.tight_layout()
        figure.savefig(file, metadata={"Date": None}, transparent=True)
        plt.close(figure)
    plain = file.read_text(encoding="utf-8")
    file.write_text(plain.replace("</defs>", f"</defs>\n {_DARK}", 1), encoding="utf-8")
