"""Plots as SVG: bars against targets, and lines. No library, no font, no script in them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from bench.figures import RATIOS

GOAL, MUST, MISSED = "#2f7d4f", "#c99a2e", "#b5443c"
COLOURS = ("#1f6f8b", "#b5443c", "#2f7d4f", "#8a5a9e", "#c99a2e")
SVG = "{http://www.w3.org/2000/svg}"
"""The namespace, as ElementTree writes it."""
INK, PALE = "#222", "#ccc"
Point = tuple[float, float]


def ratios(data: Mapping[str, Any]) -> str:
    """Seconds as a multiple of bare's: a bar each, with the lines of what must be and of the goal."""
    names = {target.name for target in RATIOS}
    shown = [of for of in data["targets"] if of["name"] in names and of["verdict"]]
    width, bar, left, top = 640, 26, 100, 50
    scale = (width - left - 60) / max([4.5, *(of["found"] for of in shown)])
    height = top + len(shown) * (bar + 12) + 12
    parts = [
        text(left, 20, "Time as a multiple of bare (1 = bare)", bold=True),
        text(left, 38, "bar: ours · line: must · dotted: goal", colour="#555", size=11),
    ]
    for n, of in enumerate(shown):
        y = top + n * (bar + 12)
        colour = {"goal": GOAL, "must": MUST}.get(of["verdict"], MISSED)
        parts += [
            text(left - 8, y + 18, of["name"], anchor="end"),
            f'<rect x="{left}" y="{y}" width="{of["found"] * scale:.1f}" height="{bar}" fill="{colour}"/>',
            line(left + of["must"] * scale, y - 3, left + of["must"] * scale, y + bar + 3, width=2),
        ]
        if of["goal"] is not None:
            x = left + of["goal"] * scale
            parts.append(line(x, y - 3, x, y + bar + 3, dashed=True))
        parts.append(text(left + of["found"] * scale + 6, y + 18, f"{of['found']:.2f}"))
    return svg("Selaras, as a multiple of bare", width, height, parts)


def lines(
    title: str,
    below: str,
    beside: str,
    series: Mapping[str, Sequence[Point]],
    *,
    logarithmic: bool = False,
    ticks: int | None = None,
) -> str:
    """Lines, upwards from 0. Across a tick at every x, or so many; `logarithmic` across."""
    width, height, left, right, top, bottom = 640, 300, 70, 150, 46, 46
    points = [point for of in series.values() for point in of]
    scaled = math.log10 if logarithmic else float
    first, last = (scaled(pick(x for x, _ in points)) for pick in (min, max))
    most = max(y for _, y in points) * 1.1 or 1.0
    across, up = (width - left - right) / ((last - first) or 1.0), (height - top - bottom) / most

    def place(x: float, y: float) -> Point:
        return left + (scaled(x) - first) * across, height - bottom - y * up

    parts = [
        text(left, 20, title, bold=True),
        text(left, 36, beside, colour="#555", size=11),
        text((left + width - right) / 2, height - 10, below, anchor="middle", colour="#555", size=11),
    ]
    every = sorted({x for x, _ in points})
    for x in every if ticks is None else [first + n * (last - first) / ticks for n in range(ticks + 1)]:
        where, foot = place(x, 0)
        parts += [line(where, top, where, foot, colour=PALE), text(where, foot + 16, f"{x:,.0f}", anchor="middle")]
    for y in (0.0, most / 2.2, most / 1.1):
        start, where = place(every[0], y)
        parts += [
            line(start, where, width - right, where, colour=PALE),
            text(left - 8, where + 4, f"{y:.3g}", anchor="end"),
        ]
    ends: list[tuple[float, str, str]] = []
    for colour, (name, of) in zip(COLOURS, series.items(), strict=False):
        places = [place(x, y) for x, y in of]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        if ticks is None:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        ends.append((places[-1][1] + 4, name, colour))
    below_last = 0.0
    for y, name, colour in sorted(ends):  # names do not lie on each other
        below_last = max(y, below_last + 14)
        parts.append(text(width - right + 8, below_last, name, colour=colour, size=12))
    return svg(title, width, height, parts)


def stacked(plots: Sequence[str]) -> str:
    """Several plots in one file, one below the other."""
    heights = [float(plot.partition('viewBox="0 0 ')[2].partition('"')[0].split()[1]) for plot in plots]
    width = max(float(plot.partition('viewBox="0 0 ')[2].split()[0]) for plot in plots)
    parts = [
        plot.strip().replace("<svg ", f'<svg y="{sum(heights[:n]):g}" width="{width:g}" height="{heights[n]:g}" ', 1)
        for n, plot in enumerate(plots)
    ]
    return svg("Selaras", width, sum(heights), parts)


def svg(title: str, width: float, height: float, parts: Sequence[str]) -> str:
    """The whole file."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" font-family="sans-serif" '
        'font-size="13" role="img">'
    )
    return "\n".join(
        [head, f"<title>{escape(title)}</title>", f'<rect width="{width:g}" height="{height:g}" fill="#fff"/>', *parts,
         "</svg>", ""]
    )  # fmt: skip


def text(
    x: float, y: float, words: str, *, anchor: str = "start", colour: str = INK, size: int = 13, bold: bool = False
) -> str:
    """A line of text; `anchor` as in SVG."""
    weight = ' font-weight="bold"' if bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}" font-size="{size}"{weight}>'
        f"{escape(words)}</text>"
    )


def line(x1: float, y1: float, x2: float, y2: float, *, colour: str = INK, width: int = 1, dashed: bool = False) -> str:
    """A straight line."""
    dashes = ' stroke-dasharray="2 2"' if dashed else ""
    ends = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {ends} stroke="{colour}" stroke-width="{width}"{dashes}/>'
