"""Writes the Grafana dashboards from the page of panels.

python dashboards/generate.py
"""

from __future__ import annotations

import json
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.common import (
    BigValueGraphMode,
    GraphGradientMode,
    LegendDisplayMode,
    LegendPlacement,
    StackingMode,
    TooltipDisplayMode,
)
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    VariableRefresh,
    VariableSort,
)
from panels import CLUSTER_PANELS, STUDY_PANELS, Panel

FOLDER = Path(__file__).parent / "grafana" / "dashboards"
SOURCE = DataSourceRef("prometheus", "${datasource}")
STAT_HEIGHT, GRAPH_HEIGHT = 4, 8


def panel_of(panel: Panel, number: int) -> stat.Panel | timeseries.Panel:
    made = _stat() if panel.kind == "stat" else _lines(stacked=panel.kind == "stacked")
    made.id(number).title(panel.title).description(panel.about).datasource(SOURCE)
    made.unit(panel.unit).span(panel.width)
    made.height(STAT_HEIGHT if panel.kind == "stat" else GRAPH_HEIGHT)
    if panel.unit == "percentunit":
        made.min(0).max(1)
    for letter, (legend, query) in zip("ABCDEF", panel.queries.items(), strict=False):
        asked = prometheus.Dataquery().expr(query).ref_id(letter).datasource(SOURCE)
        made.with_target(asked.legend_format(legend or panel.title.lower()))
    return made


def _stat() -> stat.Panel:
    last = common.ReduceDataOptions().calcs(["lastNotNull"])
    return stat.Panel().graph_mode(BigValueGraphMode.AREA).reduce_options(last)


def _lines(stacked: bool) -> timeseries.Panel:
    legend = common.VizLegendOptions().display_mode(LegendDisplayMode.LIST).show_legend(True)
    tooltip = common.VizTooltipOptions().mode(TooltipDisplayMode.MULTI)
    made = timeseries.Panel().legend(legend.placement(LegendPlacement.BOTTOM)).tooltip(tooltip)
    if stacked:
        made.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(40)
        made.gradient_mode(GraphGradientMode.OPACITY)
    return made


def page(title: str, uid: str, about: str) -> dashboard.Dashboard:
    made = dashboard.Dashboard(title).uid(uid).description(about).tags(["archsearch"])
    made.refresh("10s").time("now-1h", "now").timezone("browser").readonly()
    made.tooltip(DashboardCursorSync.CROSSHAIR)
    source = dashboard.DatasourceVariable("datasource").label("Prometheus").type("prometheus")
    made.with_variable(source)
    return made


def chosen(name: str, label: str, query: str, several: bool) -> dashboard.QueryVariable:
    """A variable of the page, filled from the values of a label."""
    made = dashboard.QueryVariable(name).label(label).datasource(SOURCE).query(query)
    made.refresh(VariableRefresh.ON_TIME_RANGE_CHANGED).sort(VariableSort.ALPHABETICAL_ASC)
    return made.multi(True).include_all(True).all_value(".*") if several else made


def study_page() -> dashboard.Dashboard:
    about = "One study of archsearch: how far it is, what it found, what it costs."
    made = page("archsearch: a study", "archsearch-study", about)
    made.with_variable(chosen("study", "Study", "label_values(archsearch_workers, study)", False))
    for number, panel in enumerate(STUDY_PANELS, start=1):
        made.with_panel(panel_of(panel, number))
    return made


def cluster_page() -> dashboard.Dashboard:
    about = "The Ray cluster that studies of archsearch run on: who holds what, and what is short."
    made = page("archsearch: the cluster", "archsearch-cluster", about)
    nodes = "label_values(ray_node_cpu_count, instance)"
    made.with_variable(chosen("instance", "Nodes", nodes, True))
    for number, panel in enumerate(CLUSTER_PANELS, start=1):
        made.with_panel(panel_of(panel, number))
    return made


def pages() -> dict[str, str]:
    """File name to content."""
    made = {"study.json": study_page(), "cluster.json": cluster_page()}
    return {
        name: json.dumps(each.build(), cls=JSONEncoder, indent=2, sort_keys=True) + "\n"
        for name, each in made.items()
    }


if __name__ == "__main__":
    for name, text in pages().items():
        (FOLDER / name).write_text(text)
