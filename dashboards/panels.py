"""What the dashboards show: each panel's title, what it asks Prometheus, and its unit.

Counters carry on over restarts of a driver, and a cluster may still export a driver that is gone;
hence ``max``, and not ``sum``, over the series of a study.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

STUDY = 'study="$study"'
NODES = 'instance=~"$instance"'


@dataclass(frozen=True)
class Panel:
    """One panel; ``queries`` maps a legend to PromQL, ``width`` counts 24ths of the page.

    ``needs`` says what a cluster must have for there to be data.
    """

    title: str
    queries: dict[str, str]
    unit: str
    about: str
    kind: Literal["stat", "lines", "stacked"] = "lines"
    width: int = 12
    needs: Literal["", "gpu"] = ""


def by(labels: str, name: str, more: str = "") -> str:
    """The series of the chosen study, one for each value of the labels."""
    return f"max by ({labels}) ({name}{{{STUDY}{more}}})"


def rate(labels: str, name: str) -> str:
    """How fast a counter of the chosen study grows, per second."""
    return f"max by ({labels}) (rate({name}{{{STUDY}}}[$__rate_interval]))"


ENDED = by("phase, state", "archsearch_trials_total")
RUNNING = by("phase", "archsearch_trials_running")
WAITING = by("phase", "archsearch_trials_waiting")
TROUBLE = by("phase, state", "archsearch_trials_total", ', state!~"complete|stopped"')
SLOW = "histogram_quantile({}, sum by (le) (rate(archsearch_trial_seconds_bucket{{{}}}[1h])))"
PACE = f"sum({rate('phase, state', 'archsearch_trials_total')})"

STUDY_PANELS = (
    Panel("Trials ended", {"": f"sum({ENDED})"}, "short", "Of all phases.", "stat", 4),
    Panel("Trials waiting", {"": f"sum({WAITING})"}, "short",
          "Not begun yet, in the phases that have begun.", "stat", 4),
    Panel("Best value", {"{{metric}}": by("metric", "archsearch_best_value")}, "short",
          "Of each objective by itself, constraints kept.", "stat", 4),
    Panel("Workers busy", {"": f"sum({RUNNING}) / max(archsearch_workers{{{STUDY}}} > 0)"},
          "percentunit",
          "Trials that run, over trials that may.", "stat", 4),
    Panel("Cost", {"{{resource}}": by("resource", "archsearch_cost_seconds_total") + " / 3600"},
          "h", "Core-hours, lost attempts included.", "stat", 4),
    Panel("Failed", {"": f"(sum({TROUBLE}) or vector(0)) / (sum({ENDED}) > 0)"}, "percentunit",
          "Ended without a value: diverged, out of memory, timed out, crashed.", "stat", 4),
    Panel("Trials by state", {"{{phase}} {{state}}": ENDED}, "short",
          "What has ended, added up.", "stacked"),
    Panel("Best value so far", {"{{metric}}": by("metric", "archsearch_best_value")}, "short",
          "Of each objective by itself, constraints kept."),
    Panel("Trials per minute", {"{{phase}} {{state}}":
                                f"60 * {rate('phase, state', 'archsearch_trials_total')}"},
          "short", "By the state they ended in.", "stacked"),
    Panel("Seconds of a trial", {"half": SLOW.format(0.5, STUDY), "nine in ten":
                                 SLOW.format(0.9, STUDY), "all but one in a hundred":
                                 SLOW.format(0.99, STUDY)}, "s",
          "Wall-clock seconds within which so many of the last hour's trials ended."),
    Panel("Running and waiting", {"running, {{phase}}": RUNNING, "waiting, {{phase}}": WAITING,
                                  "workers": by("study", "archsearch_workers")}, "short",
          "Workers without trials wait for outcomes that a proposal depends on: raise search.lag."),
    Panel("Time left", {"": f"sum({WAITING}) / ({PACE} > 0)"}, "s",
          "If trials go on ending as fast as now."),
    Panel("Cores in use", {"{{resource}}": rate("resource", "archsearch_cost_seconds_total")},
          "short", "Core-seconds per second, counted as trials end."),
    Panel("Attempts lost", {"": f"max(increase(archsearch_attempts_lost_total{{{STUDY}}}[1h]))"
                                " or vector(0)"}, "short",
          "In the last hour, with their worker or driver; each is tried again."),
)  # fmt: skip


def used(resource: str) -> dict[str, str]:
    of = f'ray_resources{{Name="{resource}",{NODES}'
    return {"in use": f'sum({of},State="USED"}})', "there": f"sum({of}}})"}


CLUSTER_PANELS = (
    Panel("Nodes", {"": "count(count by (instance) (ray_node_cpu_count))"}, "short",
          "That answer.", "stat", 6),
    Panel("Trials running", {"{{study}}": "max by (study) (archsearch_trials_running)"}, "short",
          "Of each study.", "stat", 6),
    Panel("Jobs", {"": "sum(ray_running_jobs)"}, "short",
          "Programs connected to the cluster.", "stat", 6),
    Panel("Trials per minute", {"": "60 * sum(max by (study, phase, state) "
                                    "(rate(archsearch_trials_total[$__rate_interval])))"},
          "short", "Of all studies.", "stat", 6),
    Panel("CPUs that trials hold", used("CPU"), "short", "As Ray hands them out."),
    Panel("GPUs that trials hold", used("GPU"), "short", "As Ray hands them out.", needs="gpu"),
    Panel("CPU", {"{{instance}}": f"max by (instance) (ray_node_cpu_utilization{{{NODES}}}) / 100"},
          "percentunit", "Of each node, whoever uses it."),
    Panel("GPU", {"{{instance}} {{GpuIndex}}": "max by (instance, GpuIndex) "
                  f"(ray_node_gpus_utilization{{{NODES}}}) / 100"}, "percentunit",
          "Of each device.", needs="gpu"),
    Panel("Memory", {"{{instance}}": f"max by (instance) (ray_node_mem_used{{{NODES}}}) / "
                     f"max by (instance) (ray_node_mem_total{{{NODES}}})"}, "percentunit",
          "Of each node. Ray kills workers as this comes near to one."),
    Panel("Memory of Ray's processes", {"{{Component}}": "sum by (Component) "
                                        f"(ray_component_rss_bytes{{{NODES}}})"}, "bytes",
          "Resident, by what the process is.", "stacked"),
    Panel("Disk", {"{{instance}}": f"max by (instance) (ray_node_disk_usage{{{NODES}}}) / (max by "
                   f"(instance) (ray_node_disk_usage{{{NODES}}}) + max by (instance) "
                   f"(ray_node_disk_free{{{NODES}}}))"}, "percentunit",
          "Of each node; a driver begins no trial on a full one."),
    Panel("Network", {"{{instance}} in": "max by (instance) "
                      f"(ray_node_network_receive_speed{{{NODES}}})", "{{instance}} out":
                      f"max by (instance) (ray_node_network_send_speed{{{NODES}}})"}, "Bps",
          "Of each node."),
    Panel("Attempts lost", {"{{study}}": "max by (study) "
                            "(increase(archsearch_attempts_lost_total[1h])) "
                            "or 0 * max by (study) (archsearch_workers)"}, "short",
          "In the last hour, with their worker or driver; each is tried again."),
    Panel("Trials waiting", {"{{study}} {{phase}}": "max by (study, phase) "
                             "(archsearch_trials_waiting)"}, "short", "Not begun yet."),
)  # fmt: skip
