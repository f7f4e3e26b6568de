"""The dashboards: committed as generated, and made of what Grafana and Prometheus know."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models.dashboard import Dashboard, Panel

from archsearch.gauges.page import PAGE

FOLDER = Path(__file__).parents[2] / "dashboards"
PAGES = sorted((FOLDER / "grafana" / "dashboards").glob("*.json"))


def read(path: Path) -> dict[str, Any]:
    page = json.loads(path.read_text())
    assert isinstance(page, dict)
    return page


def queries(page: dict[str, Any]) -> Iterator[tuple[str, str]]:
    for panel in page["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


def test_what_is_committed_is_what_is_generated(tmp_path: Path) -> None:
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); import generate, pathlib;"
        "[(pathlib.Path(sys.argv[2]) / name).write_text(text) "
        "for name, text in generate.pages().items()]"
    )
    subprocess.run([sys.executable, "-c", script, str(FOLDER), str(tmp_path)], check=True)
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in PAGES}
    assert set(made) == {"study.json", "cluster.json"}


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
class TestPage:
    def test_it_has_the_form_that_grafana_knows(self, path: Path) -> None:
        """Read as Grafana's own types and written again, nothing is lost and nothing unknown."""
        page = read(path)
        typed = Dashboard.from_json(page)
        assert typed.panels is not None
        assert all(isinstance(panel, Panel) for panel in typed.panels)
        assert json.loads(json.dumps(typed, cls=JSONEncoder)) == page

    def test_panels_have_places_of_their_own(self, path: Path) -> None:
        page = read(path)
        ids = [panel["id"] for panel in page["panels"]]
        assert sorted(set(ids)) == sorted(ids)
        taken: set[tuple[int, int]] = set()
        for panel in page["panels"]:
            at = panel["gridPos"]
            assert at["x"] + at["w"] <= 24, panel["title"]
            cells = {
                (x, y)
                for x in range(at["x"], at["x"] + at["w"])
                for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells

    def test_each_variable_is_defined_and_each_source_is_one(self, path: Path) -> None:
        page = read(path)
        defined = {variable["name"] for variable in page["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", path.read_text()))
        assert used - {"__rate_interval"} == defined

    def test_what_is_asked_of_us_is_on_the_page_of_gauges(self, path: Path) -> None:
        labels = {series.name: set(series.labels) for series in PAGE}
        for title, query in queries(read(path)):
            for name, filtered in re.findall(r"\b(archsearch_\w+)(\{[^}]*\})?", query):
                known = labels[name.removesuffix("_bucket")]
                assert set(re.findall(r"(\w+)[=!]", filtered)) <= known, title
            if "ray_" not in query:
                grouped = re.findall(r"by \(([^)]*)\)", query)
                asked = {label for group in grouped for label in group.split(", ")}
                assert asked <= set().union(*labels.values()) | {"le"}, title

    def test_every_panel_says_what_it_shows(self, path: Path) -> None:
        page = read(path)
        assert all(panel["title"] and panel["description"] for panel in page["panels"])
        titles = [panel["title"] for panel in page["panels"]]
        assert len(set(titles)) == len(titles)


def test_every_gauge_is_shown() -> None:
    asked = " ".join(query for path in PAGES for _, query in queries(read(path)))
    assert [series.name for series in PAGE if series.name not in asked] == []


def test_ray_has_our_names() -> None:
    """What Ray puts before a name is taken off again."""
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    (ray,) = (job for job in scrape["scrape_configs"] if job["job_name"] == "ray")
    (rule,) = ray["metric_relabel_configs"]
    for series in PAGE:
        found = re.fullmatch(rule["regex"], f"ray_{series.name}")
        assert found is not None
        assert rule["replacement"].replace("$1", found[1]) == series.name
    assert re.fullmatch(rule["regex"], "ray_node_cpu_count") is None


def test_what_is_provisioned_fits_together() -> None:
    source = FOLDER / "grafana" / "provisioning" / "datasources" / "prometheus.yaml"
    (prometheus,) = yaml.safe_load(source.read_text())["datasources"]
    assert prometheus["url"].startswith("http://127.0.0.1:")
    scrape = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    assert prometheus["jsonData"]["timeInterval"] == scrape["global"]["scrape_interval"]
    (provider,) = yaml.safe_load(
        (FOLDER / "grafana" / "provisioning" / "dashboards" / "archsearch.yaml").read_text()
    )["providers"]
    assert provider["options"]["path"] in (FOLDER / "README.md").read_text()


def test_the_guide_has_the_page_of_gauges() -> None:
    guide = (FOLDER / "README.md").read_text()
    for series in PAGE:
        labels = ", ".join(series.labels)
        assert f"| `{series.name}` | {series.kind} | {labels} | {series.help} |" in guide
