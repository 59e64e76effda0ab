"""The dashboards in deploy/ are those of panels.yaml, and hang together."""

import json

import yaml

from tools.dashboards import FOLDER, cloud_monitoring, grafana, rows


def test_the_committed_files_are_what_panels_yaml_says():
    assert (FOLDER / "grafana.json").read_text() == grafana()
    assert (FOLDER / "cloud-monitoring.json").read_text() == cloud_monitoring()


def test_grafana_has_every_panel_once_with_a_query_and_no_overlap():
    panels = [panel for panel in json.loads(grafana())["panels"] if panel["type"] != "row"]
    assert [panel["title"] for panel in panels] == [panel.title for _, row in rows() for panel in row]
    assert all(target["expr"] for panel in panels for target in panel["targets"])
    assert all(panel["gridPos"]["w"] >= 4 for panel in panels)


def test_only_what_is_never_below_0_begins_at_0():
    panels = {panel["title"]: panel for panel in json.loads(grafana())["panels"]}
    assert "min" not in panels["Dry run against what is there"]["fieldConfig"]["defaults"]
    assert panels["Replicas"]["fieldConfig"]["defaults"]["min"] == 0


def test_the_table_of_reasons_shows_its_labels_alone():
    (table,) = (panel for panel in json.loads(grafana())["panels"] if panel["type"] == "table")
    (organize,) = table["transformations"]
    (target,) = table["targets"]
    labels = organize["options"]["indexByName"]
    assert f"by ({', '.join(sorted(labels, key=labels.get))})" in target["expr"]
    assert organize["options"]["excludeByName"] == {"Time": True, "Value": True}
    assert table["options"]["showHeader"]


def test_cloud_monitoring_tiles_lie_side_by_side():
    tiles = json.loads(cloud_monitoring())["mosaicLayout"]["tiles"]
    taken = set()
    for tile in tiles:
        left, top = tile.get("xPos", 0), tile.get("yPos", 0)
        cells = {(x, y) for x in range(left, left + tile["width"]) for y in range(top, top + tile["height"])}
        assert not cells & taken, tile["widget"]["title"]
        assert left + tile["width"] <= 48
        taken |= cells


def test_no_variable_is_left_for_a_product_that_does_not_know_it():
    assert "$window" not in grafana() + cloud_monitoring()
    assert "$price" not in cloud_monitoring()


def test_every_panel_says_what_it_shows():
    source = yaml.safe_load((FOLDER / "panels.yaml").read_text())
    assert all(panel["title"] and panel["unit"] for row in source["rows"] for panel in row["panels"])
