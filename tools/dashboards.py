"""Writes the dashboards from deploy/dashboards/panels.yaml, with Grafana's and Google's own types.

``python -m tools.dashboards`` writes ``grafana.json`` and ``cloud-monitoring.json`` beside it. The
types refuse what the dashboards' owners would not load.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from google.cloud import monitoring_dashboard_v1 as google
from grafana_foundation_sdk.builders import common, dashboard, prometheus, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DataSourceRef,
    DataTransformerConfig,
    VariableRefresh,
)
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).resolve().parent.parent / "deploy" / "dashboards"

# Where the two products differ; the expressions themselves are the same.
GRAFANA = {"$window": "$__rate_interval"}
GOOGLE = {"$window": "5m", 'policy=~"$policy"': "${policy}", 'namespace=~"$ns"': "${ns}"}
"""Cloud Monitoring inserts whole matchers. It has no numeric variables, so the panel of costs is left out."""

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")
ONLY_LABELS = DataTransformerConfig(
    id_val="organize",
    options={
        "excludeByName": {"Time": True, "Value": True},
        "indexByName": {"policy_namespace": 0, "policy": 1, "reason": 2},
        "renameByName": {"policy_namespace": "namespace"},
    },
)
"""A table shows its labels; the time of the query and the value, which is always 1, are hidden."""

GRAFANA_WIDTH = 24
GOOGLE_WIDTH = 48
GOOGLE_UNITS = {"percentunit": "10^2.%"}


@dataclass(frozen=True)
class Panel:
    """One panel of ``panels.yaml``; ``width`` is its share of a row, ``is_signed``: may be below 0."""

    title: str
    unit: str
    queries: tuple[tuple[str, str], ...]
    description: str
    is_table: bool
    is_signed: bool
    width: float

    @property
    def asks_price(self) -> bool:
        """True if it needs the variable ``price``."""
        return any("$price" in expression for _, expression in self.queries)


def rows() -> Iterator[tuple[str, list[Panel]]]:
    """The rows of ``panels.yaml``, each with its title."""
    for row in _source()["rows"]:
        width = 1 / min(len(row["panels"]), 4)
        yield row["title"], [_panel(panel, width) for panel in row["panels"]]


def _source() -> dict[str, Any]:
    source: dict[str, Any] = yaml.safe_load((FOLDER / "panels.yaml").read_text())
    return source


def _panel(panel: dict[str, Any], width: float) -> Panel:
    return Panel(
        title=panel["title"],
        unit=panel["unit"],
        queries=tuple((query["legend"], query["expr"]) for query in panel["queries"]),
        description=panel.get("description", ""),
        is_table=panel.get("kind") == "table",
        is_signed=panel.get("signed", False),
        width=width,
    )


def said_by(product: dict[str, str], expression: str) -> str:
    """``expression`` with a product's variables."""
    for ours, theirs in product.items():
        expression = expression.replace(ours, theirs)
    return expression


# Grafana


def grafana() -> str:
    """The dashboard for Grafana; its data source, namespaces, policies and price are variables."""
    built = (
        dashboard.Dashboard(_source()["title"])
        .uid("vllm-autoscaler")
        .tags(["vllm", "autoscaling"])
        .refresh("30s")
        .time("now-3h", "now")
        .tooltip(DashboardCursorSync.CROSSHAIR)
    )
    for variable in _variables():
        built = built.with_variable(variable)
    for title, panels in rows():
        built = built.with_row(dashboard.Row(title))
        for panel in panels:
            built = built.with_panel(_grafana_panel(panel))
    return JSONEncoder(sort_keys=True, indent=2).encode(built.build()) + "\n"


def _variables() -> Iterator[Any]:
    yield dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")
    for name, label, query in (
        ("ns", "Namespace", "label_values(vllm:num_requests_running, namespace)"),
        ("policy", "Policy", "label_values(vllm_autoscaler_desired_replicas, policy)"),
    ):
        yield (
            dashboard.QueryVariable(name)
            .label(label)
            .datasource(DATASOURCE)
            .query(query)
            .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
            .multi(True)
            .include_all(True)
            .all_value(".*")
        )
    yield dashboard.TextBoxVariable("price").label("Price of a GPU-hour").default_value("1")


def _grafana_panel(panel: Panel) -> Any:
    builder: Any = table.Panel().show_header(True) if panel.is_table else timeseries.Panel()
    built = builder.title(panel.title).unit(panel.unit).datasource(DATASOURCE)
    built = built.span(int(GRAFANA_WIDTH * panel.width)).height(8).description(panel.description)
    if panel.is_table:
        built = built.with_transformation(ONLY_LABELS)
    else:
        built = built.fill_opacity(8).legend(common.VizLegendOptions().show_legend(True))
        built = built if panel.is_signed else built.min(0)
    for index, (legend, expression) in enumerate(panel.queries):
        query = prometheus.Dataquery().expr(said_by(GRAFANA, expression)).ref_id(chr(ord("A") + index))
        query = query.legend_format(legend).datasource(DATASOURCE)
        built = built.with_target(_instant(query) if panel.is_table else query.range())
    return built


def _instant(query: prometheus.Dataquery) -> prometheus.Dataquery:
    return query.instant().format(PromQueryFormat.TABLE)


# Cloud Monitoring


def cloud_monitoring() -> str:
    """The dashboard for ``gcloud monitoring dashboards create --config-from-file``."""
    tiles: list[google.MosaicLayout.Tile] = []
    top = 0
    for title, all_panels in rows():
        panels = [panel for panel in all_panels if not panel.asks_price]
        header = google.Widget(title=title, section_header=google.SectionHeader(divider_below=True))
        tiles.append(google.MosaicLayout.Tile(y_pos=top, width=GOOGLE_WIDTH, height=4, widget=header))
        top += 4
        for index, panel in enumerate(panels):
            width = int(GOOGLE_WIDTH * panel.width)
            left, below = index % 4 * width, index // 4 * 16
            tiles.append(
                google.MosaicLayout.Tile(
                    x_pos=left, y_pos=top + below, width=width, height=16, widget=_widget(panel)
                )
            )
        top += 16 * ((len(panels) + 3) // 4)
    made = google.Dashboard(
        display_name=_source()["title"],
        mosaic_layout=google.MosaicLayout(columns=GOOGLE_WIDTH, tiles=tiles),
        dashboard_filters=[
            google.DashboardFilter(
                label_key="namespace",
                template_variable="ns",
                filter_type=google.DashboardFilter.FilterType.RESOURCE_LABEL,
            ),
            google.DashboardFilter(
                label_key="policy",
                template_variable="policy",
                filter_type=google.DashboardFilter.FilterType.METRIC_LABEL,
            ),
        ],
    )
    text = google.Dashboard.to_json(
        made, use_integers_for_enums=False, always_print_fields_with_no_presence=False
    )
    return json.dumps(json.loads(text), indent=2, sort_keys=True) + "\n"


def _widget(panel: Panel) -> google.Widget:
    sets = [
        google.XyChart.DataSet(
            time_series_query=google.TimeSeriesQuery(
                prometheus_query=said_by(GOOGLE, expression),
                unit_override=GOOGLE_UNITS.get(panel.unit, ""),
            ),
            plot_type=google.XyChart.DataSet.PlotType.LINE,
            legend_template=legend.replace("{{", "${metric.labels.").replace("}}", "}"),
        )
        for legend, expression in panel.queries
    ]
    return google.Widget(title=panel.title, xy_chart=google.XyChart(data_sets=sets))


def main() -> None:
    """Writes both files."""
    (FOLDER / "grafana.json").write_text(grafana())
    (FOLDER / "cloud-monitoring.json").write_text(cloud_monitoring())


if __name__ == "__main__":
    main()
