"""Line plots as SVG that are readable on a light and on a dark page: https://www.w3.org/TR/SVG2/."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 900, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 12, 44, 30
_STYLE = """<style>
text { font: 12px sans-serif; fill: #1f2328 } .grid { stroke: #d0d7de } .trouble { fill: #d0d7de; opacity: .5 }
path { fill: none; stroke-width: 1.5 } .c0 { stroke: #0550ae } .c1 { stroke: #bc4c00 } .c2 { stroke: #1a7f37 }
.page { fill: #ffffff }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .grid { stroke: #3d444d } .trouble { fill: #3d444d } .page { fill: #0d1117 }
.c0 { stroke: #79c0ff } .c1 { stroke: #ffa657 } .c2 { stroke: #7ee787 }
}
</style>"""
Point = tuple[float, float]


@dataclass(frozen=True)
class Line:
    """A line: its name, and its points as (hours of the week, value)."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class Plot:
    """A plot over the week; `bands` are named times of trouble in hours; `is_log`: by powers of ten."""

    title: str
    lines: Sequence[Line]
    bands: Sequence[tuple[str, float, float]] = ()
    is_log: bool = False
    days: Sequence[str] = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

    def svg(self) -> str:
        """Return the plot as one SVG document."""
        most = max(value for line in self.lines for _, value in line.points)
        ticks = _decades(most) if self.is_log else _steps(most)
        place = _scale(ticks, is_log=self.is_log)
        hours = 24 * len(self.days)

        def x(hour: float) -> float:
            return _LEFT + hour / hours * (WIDTH - _LEFT - _RIGHT)

        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            f"<title>{escape(self.title)}</title>",
            _STYLE,
            f'<rect class="page" width="{WIDTH}" height="{HEIGHT}"/>',
            f'<text x="{_LEFT}" y="16">{escape(self.title)}</text>',
            *self._bands(x),
            *(
                f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{place(t):.1f}" y2="{place(t):.1f}"/>'
                for t in ticks
            ),
            *(f'<text x="{_LEFT - 6}" y="{place(t) + 4:.1f}" text-anchor="end">{t:,g}</text>' for t in ticks),
            *(
                f'<text x="{x(24 * n + 12):.1f}" y="{HEIGHT - 10}" text-anchor="middle">{d}</text>'
                for n, d in enumerate(self.days)
            ),
            *(
                f'<line class="grid" x1="{x(24 * n):.1f}" x2="{x(24 * n):.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>'
                for n in range(len(self.days) + 1)
            ),
        ]
        for number, line in enumerate(self.lines):
            points = " L".join(f"{x(hour):.1f} {place(value):.1f}" for hour, value in line.points)
            at = _LEFT + 230 * number
            parts.append(f'<path class="c{number}" d="M{points}"/>')
            parts.append(
                f'<path class="c{number}" d="M{at} 31h22"/><text x="{at + 28}" y="35">{escape(line.name)}</text>'
            )
        return "\n".join([*parts, "</svg>", ""])

    def _bands(self, x: Callable[[float], float]) -> list[str]:
        made = []
        for name, since, until in self.bands:
            width = max(2.0, x(until) - x(since))
            made.append(
                f'<rect class="trouble" x="{x(since):.1f}" y="{_TOP}" width="{width:.1f}"'
                f' height="{HEIGHT - _TOP - _BOTTOM}"><title>{escape(name)}</title></rect>'
                f'<text x="{x(since) + width + 3:.1f}" y="{_TOP + 12}">{escape(name)}</text>'
            )
        return made


def _steps(most: float) -> list[float]:
    """Round values from 0 to the next above the highest."""
    rough = max(most, 1) / 4
    unit = 10 ** math.floor(math.log10(rough))
    step = next(factor * unit for factor in (1, 2, 2.5, 5, 10) if factor * unit >= rough)
    return [step * number for number in range(math.ceil(max(most, 1) / step) + 1)]


def _decades(most: float) -> list[float]:
    """Powers of ten from 0.1 to the next above the highest."""
    return [10.0**power for power in range(-1, math.ceil(math.log10(max(most, 1.1))) + 1)]


def _scale(ticks: Sequence[float], *, is_log: bool) -> Callable[[float], float]:
    low, high, room = ticks[0], ticks[-1], HEIGHT - _TOP - _BOTTOM

    def place(value: float) -> float:
        if not is_log:
            return HEIGHT - _BOTTOM - value / high * room
        return HEIGHT - _BOTTOM - math.log10(max(value, low) / low) / math.log10(high / low) * room

    return place
