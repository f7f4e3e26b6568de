"""``archsearch cluster``: scripts and manifests for schedulers, as their own readers see them."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from archsearch.cli.cluster import cluster, spelled
from archsearch.cli.lock import open_space
from archsearch.cli.sbatch import Nodes
from archsearch.errors import InputError

SPACE = """
archsearch: 1
name: {name}
task: {{name: parity, length: 6}}
space:
  width: 8
  stages: [{{blocks: [{{cell: {{choice: [gru, rnn]}}}}]}}]
execution: {{backend: ray, workers: 16, cpus: 2, gpus: 0.5, memory: 4GiB}}
"""
KUBERAY = ("--image", "registry.example/a:1", "--storage-secret", "database")


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "parity.yaml"
    path.write_text(SPACE.format(name="Parity of 6"))
    return path


def told(*arguments: str) -> str:
    done = CliRunner().invoke(cluster, list(arguments), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def documents(text: str) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = yaml.safe_load_all(text)
    return first, second


class TestNodes:
    def test_they_hold_all_trials_at_once(self) -> None:
        nodes = Nodes.holding(3, 16, 2.0, 0.5, 4 << 30)
        # six on a node, a core for the driver, two GiB for Ray
        assert (nodes.cpus, nodes.gpus, nodes.memory) == (13, 3, (6 * 4 + 2) << 30)

    def test_without_bounds_none_is_asked_for(self) -> None:
        nodes = Nodes.holding(1, 4, 0.5, 0.0, None)
        assert (nodes.cpus, nodes.gpus, nodes.memory) == (3, 0, None)


class TestSlurm:
    def test_a_password_is_not_written_down(self, space: Path) -> None:
        url = "postgresql://me:hush@host/db"
        done = CliRunner().invoke(cluster, ["slurm", str(space), "--storage", url])
        assert isinstance(done.exception, InputError)
        assert "put it into ~/.pgpass" in str(done.exception)
        assert "hush" not in str(done.exception) + done.output

    def test_bash_can_read_it(self, space: Path, tmp_path: Path) -> None:
        script = tmp_path / "study.sbatch"
        script.write_text(told("slurm", str(space), "--nodes", "4"))
        done = subprocess.run(["bash", "-n", str(script)], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")

    def test_what_slurm_is_asked_for(self, space: Path) -> None:
        script = told("slurm", str(space), "--nodes", "4", "--hours", "1.5")
        asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(.*)$", script, re.MULTILINE))
        assert asked["job-name"] == "parity-of-6"
        assert (asked["nodes"], asked["ntasks-per-node"]) == ("4", "1")
        assert (asked["cpus-per-task"], asked["gpus-per-node"]) == ("9", "2")
        assert (asked["mem"], asked["time"]) == (f"{18 * 1024}M", "1:30:00")
        # all of them before the first command, or Slurm does not see them
        head, _, rest = script.partition("set -euo pipefail")
        assert "#SBATCH" not in rest
        assert head.count("#SBATCH") == len(asked) + 1

    @pytest.mark.parametrize(("hours", "time"), [("1.999", "2:00:00"), ("0.1", "0:06:00")])
    def test_minutes_are_fewer_than_sixty(self, space: Path, hours: str, time: str) -> None:
        assert f"#SBATCH --time={time}\n" in told("slurm", str(space), "--hours", hours)

    @pytest.mark.parametrize("hours", ["nan", "inf"])
    def test_hours_are_a_number(self, space: Path, hours: str) -> None:
        done = CliRunner().invoke(cluster, ["slurm", str(space), "--hours", hours])
        assert done.exit_code == 2
        assert f"Invalid value for '--hours': {hours} is no finite number" in done.output

    def test_hours_end_before_they_are_too_many_to_count(self, space: Path) -> None:
        done = CliRunner().invoke(cluster, ["slurm", str(space), "--hours", "1e308"])
        assert done.exit_code == 2
        assert "1e+308 is not in the range 0.1<=x<=87600" in done.output

    def test_the_cluster_has_a_token_before_it_has_a_port(self, space: Path) -> None:
        script = told("slurm", str(space))
        begun = script.index("ray start --head")
        assert script.index("export RAY_AUTH_MODE=token") < begun
        assert script.index("umask 077") < script.index("get-auth-token --generate") < begun
        assert script.index("chmod 600") < begun
        assert script.count("ray start") == 2

    def test_the_driver_is_told_to_stop_and_the_job_queued_again(
        self, space: Path, tmp_path: Path
    ) -> None:
        """With stand-ins for Slurm and Ray the script runs as it is; its driver ends with 75."""
        script = told("slurm", str(space), "--nodes", "2", "--storage", "sqlite:///a b; touch x")
        (tmp_path / "study.sbatch").write_text(script)
        stands = {
            "ray": 'echo "ray $*" >> log',
            "srun": 'echo "srun $*" >> log',
            "scontrol": 'echo "scontrol $*" >> log; echo localhost',
            "archsearch": 'printf "<%s>" "$@" >> driver\ntrap "exit 75" TERM\n'
            "kill -TERM $PPID\nwhile :; do sleep 0.05; done",
        }
        for name, text in stands.items():
            (tmp_path / name).write_text(f"#!/bin/bash\n{text}\n")
            (tmp_path / name).chmod(0o755)
        home = tmp_path / "home" / ".ray"
        home.mkdir(parents=True)
        (home / "auth_token").write_text("secret")
        done = subprocess.run(
            ["bash", "study.sbatch"],
            cwd=tmp_path,
            env={
                "PATH": f"{tmp_path}:/usr/bin:/bin",
                "HOME": str(home.parent),
                "SLURM_JOB_ID": "17",
                "SLURM_JOB_NUM_NODES": "2",
                "SLURM_JOB_NODELIST": "localhost",
            },
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 75, done.stderr
        log = (tmp_path / "log").read_text()
        assert "scontrol requeue 17" in log
        assert "ray get-auth-token --generate" in log
        assert "--node-ip-address=127.0.0.1 --port=20017" in log
        given = (tmp_path / "driver").read_text()
        # what the user gave is one argument, whatever it contains
        assert f"<run><{space}><--storage=sqlite:///a b; touch x>" in given
        assert given.endswith("<--backend><ray><--address><127.0.0.1:20017>")
        assert (home / "auth_token").stat().st_mode & 0o777 == 0o600


class TestKubeRay:
    def test_the_study_travels_in_it(self, space: Path) -> None:
        config, job = documents(told("kuberay", str(space), *KUBERAY))
        assert config["kind"] == "ConfigMap"
        assert config["data"] == {"parity.yaml": space.read_text()}
        cluster_spec = job["spec"]["rayClusterSpec"]
        for group in (cluster_spec["headGroupSpec"], *cluster_spec["workerGroupSpecs"]):
            pod = group["template"]["spec"]
            (volume,) = pod["volumes"]
            assert volume["configMap"]["name"] == config["metadata"]["name"]
            (container,) = pod["containers"]
            (mount,) = container["volumeMounts"]
            assert (mount["name"], mount["mountPath"]) == (volume["name"], "/study")
        words = shlex.split(job["spec"]["entrypoint"])
        assert words[:3] == ["archsearch", "run", "/study/parity.yaml"]
        assert words[3:] == ["--backend", "ray", "--address", "auto"]

    @pytest.mark.parametrize(
        ("file", "key"),
        [("my $pace.yaml", "my-pace.yaml"), ("..ü.yaml", "space.yaml"), ("a.v1.yaml", "a.v1.yaml")],
    )
    def test_its_file_is_called_what_a_config_map_takes(
        self, tmp_path: Path, file: str, key: str
    ) -> None:
        space = tmp_path / file
        space.write_text(SPACE.replace("name: {name}\n", "").format())
        lock = space.with_suffix(".plugins.lock")
        lock.write_text("archsearch-lock: 1\nplugins: {}\n")
        config, job = documents(told("kuberay", str(space), *KUBERAY))
        assert list(config["data"]) == [key, Path(key).with_suffix(".plugins.lock").name]
        assert all(re.fullmatch(r"(?!\.\.)[-._a-zA-Z0-9]+", name) for name in config["data"])
        words = shlex.split(job["spec"]["entrypoint"])
        assert words[2] == f"/study/{key}"
        # the study there is called what it is called here
        name = open_space(str(space))[0].name
        assert words[3:-4] == ([] if key == file else [f"--name={name}"])

    def test_fields_are_those_of_the_operator(self, space: Path) -> None:
        _, job = documents(told("kuberay", str(space), "--nodes", "4", *KUBERAY, "--ray", "2.60.0"))
        assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
        spec = job["spec"]
        assert set(spec) == {
            "entrypoint", "backoffLimit", "shutdownAfterJobFinishes", "ttlSecondsAfterFinished",
            "rayClusterSpec",
        }  # fmt: skip
        made = spec["rayClusterSpec"]
        assert set(made) == {"rayVersion", "authOptions", "headGroupSpec", "workerGroupSpecs"}
        assert made["rayVersion"] == "2.60.0"
        assert made["authOptions"] == {"mode": "token"}
        (group,) = made["workerGroupSpecs"]
        assert set(group) == {
            "groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template",
        }  # fmt: skip
        assert group["replicas"] == group["minReplicas"] == group["maxReplicas"] == 4
        # Ray's own parameters are texts
        for each in (group, made["headGroupSpec"]):
            assert all(isinstance(value, str) for value in each["rayStartParams"].values())
        assert made["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"

    def test_a_worker_node_holds_its_trials(self, space: Path) -> None:
        _, job = documents(told("kuberay", str(space), "--nodes", "4", *KUBERAY))
        (group,) = job["spec"]["rayClusterSpec"]["workerGroupSpecs"]
        (container,) = group["template"]["spec"]["containers"]
        wanted = {"cpu": "9", "memory": f"{18 * 1024}Mi", "nvidia.com/gpu": "2"}
        assert container["resources"] == {"limits": wanted, "requests": wanted}

    def test_only_the_driver_sees_the_database(self, space: Path) -> None:
        text = told("kuberay", str(space), *KUBERAY)
        assert "&id" not in text
        _, job = documents(text)
        made = job["spec"]["rayClusterSpec"]
        (head,) = made["headGroupSpec"]["template"]["spec"]["containers"]
        (variable,) = head["env"]
        key = {"name": "database", "key": "url"}
        assert variable == {"name": "ARCHSEARCH_STORAGE", "valueFrom": {"secretKeyRef": key}}
        (worker,) = made["workerGroupSpecs"][0]["template"]["spec"]["containers"]
        assert "env" not in worker

    def test_a_volume_is_where_the_study_lives(self, space: Path) -> None:
        _, job = documents(told("kuberay", str(space), "--image", "a:1", "--claim", "disk"))
        pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
        claims = [volume["persistentVolumeClaim"] for volume in pod["volumes"][1:]]
        assert claims == [{"claimName": "disk"}]
        assert pod["containers"][0]["workingDir"] == "/data"

    def test_a_study_that_would_be_lost_is_refused(self, space: Path) -> None:
        with pytest.raises(InputError, match="would end with its pod"):
            told("kuberay", str(space), "--image", "a:1")

    def test_its_lock_travels_too(self, space: Path) -> None:
        lock = space.with_suffix(".plugins.lock")
        lock.write_text("archsearch-lock: 1\nplugins: {}\n")
        config, _ = documents(told("kuberay", str(space), *KUBERAY))
        assert config["data"][lock.name] == lock.read_text()


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("Parity of 6", "parity-of-6"), ("6", "study-6"), ("a" * 80, "a" * 47), ("x._-", "x")],
)
def test_names(name: str, wanted: str) -> None:
    assert spelled(name) == wanted
