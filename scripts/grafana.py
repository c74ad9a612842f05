"""What a dashboard is here, and how it is written as Grafana reads it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "prometheus"}
COLUMNS = 24


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel. `queries`: (expression, legend). `unit` is Grafana's; `red` the value from which it is red."""

    title: str
    queries: Sequence[tuple[str, str]]
    kind: Literal["stat", "timeseries", "heatmap", "table", "bargauge"] = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    about: str = ""
    red: float | None = None
    stacked: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A heading with the panels under it."""

    title: str
    panels: Sequence[Panel]


@dataclass(frozen=True, slots=True)
class Dashboard:
    """`uid` is its lasting address; `file` where it is written."""

    uid: str
    file: str
    title: str
    rows: Sequence[Row] = field(default_factory=list)


def document(dashboard: Dashboard) -> dict[str, Any]:
    """A dashboard as Grafana reads it."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard.rows:
        panels.append({"type": "row", "title": row.title, "collapsed": False, "panels": [], "id": len(panels) + 1,
                       "gridPos": {"x": 0, "y": y, "w": COLUMNS, "h": 1}})  # fmt: skip
        x, y, tallest = 0, y + 1, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, tallest = 0, y + tallest, 0
            place = {"x": x, "y": y, "w": panel.width, "h": panel.height}
            panels.append({"id": len(panels) + 1, "gridPos": place, **_panel(panel)})
            x, tallest = x + panel.width, max(tallest, panel.height)
        y += tallest
    return {
        "uid": dashboard.uid, "title": dashboard.title, "tags": ["selaras"], "schemaVersion": 39, "version": 1,
        "editable": False, "graphTooltip": 1, "refresh": "30s", "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"}, "annotations": {"list": []}, "templating": {"list": [_SITE_VARIABLE]},
        "links": [{"type": "dashboards", "title": "Selaras", "tags": ["selaras"], "asDropdown": False}],
        "panels": panels,
    }  # fmt: skip


_SITE_VARIABLE = {
    "name": "site", "label": "Situs · site", "type": "query", "datasource": DATASOURCE,
    "query": {"query": "label_values(selaras_build_info, site)", "refId": "site"},
    "definition": "label_values(selaras_build_info, site)", "refresh": 2, "sort": 1, "multi": True,
    "includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
}  # fmt: skip


def _panel(panel: Panel) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"color": "green", "value": None}]
    if panel.red is not None:
        steps.append({"color": "red", "value": panel.red})
    custom: dict[str, Any] = {}
    if panel.kind == "timeseries":
        custom = {"fillOpacity": 20 if panel.stacked else 0, "showPoints": "never",
                  "stacking": {"mode": "normal" if panel.stacked else "none"}}  # fmt: skip
        if panel.red is not None:
            custom["thresholdsStyle"] = {"mode": "line"}
    at_once = panel.kind in ("table", "bargauge", "stat")
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.about,
        "datasource": DATASOURCE,
        "targets": [
            {
                "refId": chr(ord("A") + n), "datasource": DATASOURCE, "expr": expr, "legendFormat": legend or "__auto",
                "instant": at_once, "range": not at_once,
                "format": {"table": "table", "heatmap": "heatmap"}.get(panel.kind, "time_series"),
            }
            for n, (expr, legend) in enumerate(panel.queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "custom": custom,
                         "thresholds": {"mode": "absolute", "steps": steps}},
            "overrides": [],
        },
        "options": _OPTIONS.get(panel.kind, {}),
    }  # fmt: skip


_OPTIONS: dict[str, dict[str, Any]] = {
    "stat": {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]},
             "textMode": "auto"},
    "timeseries": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
    "bargauge": {"orientation": "horizontal", "displayMode": "basic", "reduceOptions": {"calcs": ["lastNotNull"]}},
    "heatmap": {"calculate": False, "yAxis": {"unit": "s"}, "color": {"mode": "scheme", "scheme": "Oranges"}},
}  # fmt: skip
