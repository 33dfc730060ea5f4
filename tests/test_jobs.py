"""The job files of docs/jobs: what they say is valid, and their commands exist."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess

import pytest

from keras_effnet import cli

JOBS = pathlib.Path(__file__).resolve().parent.parent / "docs" / "jobs"
SLURM = JOBS / "train.sbatch"
KUBERNETES = sorted(JOBS.glob("*.yaml"))
# Of Kubernetes: the oldest one that the file says, and the newest.
VERSIONS = ("1.31", "1.37")

kubernetes = pytest.mark.parametrize("path", KUBERNETES, ids=lambda path: path.name)


@pytest.fixture(scope="module")
def parser():
    return cli.build_parser()


# Slurm


def slurm_options():
    """The `#SBATCH` lines, a dict."""
    lines = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", SLURM.read_text(), re.M)
    assert len(lines) == SLURM.read_text().count("#SBATCH")
    return dict(lines)


@pytest.fixture
def job(tmp_path):
    """Runs the script where `srun` ends with a code; what was called, and its code."""
    if not shutil.which("bash"):
        pytest.skip("bash is not installed")
    calls = tmp_path / "calls"
    for name, code in (("srun", "$CODE"), ("scontrol", 0)):
        program = tmp_path / name
        program.write_text(f'#!/bin/sh\necho {name} "$@" >> {calls}\nexit {code}\n')
        program.chmod(0o755)

    def run(code, **variables):
        calls.write_text("")
        environment = {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "CODE": str(code),
            "SLURM_JOB_ID": "42",
            "SLURM_CPUS_PER_TASK": "16",
            **variables,
        }
        done = subprocess.run(
            ["bash", SLURM], env=environment, capture_output=True, text=True
        )
        assert not done.stderr
        return calls.read_text().splitlines(), done.returncode

    return run


@pytest.mark.parametrize("code", [75, 134, 137, 143])
def test_slurm_starts_again_what_was_stopped(job, code):
    calls, found = job(code)
    assert calls[1:] == ["scontrol requeue 42"]
    assert found == code


@pytest.mark.parametrize("code", [0, 1, 2])
def test_slurm_does_not_start_again_what_ended_or_was_bad(job, code):
    calls, found = job(code)
    assert len(calls) == 1
    assert found == code


def test_slurm_does_not_start_again_for_ever(job):
    assert len(job(75, SLURM_RESTART_COUNT="49")[0]) == 2
    assert len(job(75, SLURM_RESTART_COUNT="50")[0]) == 1
    assert len(job(75, SLURM_RESTART_COUNT="2", RESTARTS="2")[0]) == 1


def test_the_command_under_slurm(job, parser):
    calls, _ = job(0, DATA="/data/my photos", OUTPUT="/runs/mine")
    options, _, command = calls[0].partition(" keras-effnet ")
    assert "--cpus-per-task=16" in options
    command = command.replace("/data/my photos", "'/data/my photos'")
    args = parser.parse_args(shlex.split(command))
    assert args.command == "train"
    assert (args.data, args.output) == ("/data/my photos", "/runs/mine")
    assert args.cluster == "auto"
    assert args.processes is args.process_id is None


def test_slurm_options():
    options = slurm_options()
    # A process for each GPU, all of which see all GPUs of their machine.
    assert options["ntasks-per-node"] == options["gpus-per-node"]
    assert "gpus-per-task" not in options
    # Without "B:", which would leave srun's processes out.
    assert re.fullmatch(r"TERM@\d+", options["signal"])
    assert "requeue" in options
    assert options["open-mode"] == "append"


@pytest.mark.parametrize("process", ["0", "11"])
def test_jax_finds_what_slurm_tells(monkeypatch, process):
    jax = pytest.importorskip("jax", reason="JAX is not installed")
    from jax._src import clusters

    assert jax.__version__
    for name, value in {
        "JOB_ID": "42",
        "STEP_NODELIST": "node[03-06]",
        "NTASKS": "32",
        "PROCID": process,
        "LOCALID": str(int(process) % 8),
        "STEP_NUM_NODES": "4",
    }.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    monkeypatch.delenv("JAX_COORDINATOR_PORT", raising=False)
    found = clusters.ClusterEnv.auto_detect_unset_distributed_params(
        None, None, None, None, None, 300
    )
    address, processes, number, devices = found
    assert address.startswith("node03:")
    assert (processes, number) == (32, int(process))
    assert devices == [int(process) % 8]


# Kubernetes


def resources(path):
    yaml = pytest.importorskip("yaml", reason="PyYAML is not installed")
    return [each for each in yaml.safe_load_all(path.read_text()) if each]


def of_kind(path, kind):
    (found,) = (each for each in resources(path) if each["kind"] == kind)
    return found


def pods(path):
    """The specifications of all pods of a file."""
    for each in resources(path):
        if "template" in each["spec"]:
            yield each["spec"]["template"]["spec"]


@pytest.fixture(scope="module")
def validate():
    name = "kubernetes_validate"
    module = pytest.importorskip(name, reason=f"{name} is not installed")
    return module.validate, module.ValidationError


@kubernetes
@pytest.mark.parametrize("version", VERSIONS)
def test_kubernetes_knows_every_field(path, version, validate):
    check, _ = validate
    for each in resources(path):
        assert check(each, version, strict=True) == version


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(completionmode=spec.pop("completionMode")),
        lambda spec: spec.update(parallelism="4"),
        lambda spec: spec["podFailurePolicy"]["rules"][1]["onExitCodes"].pop("values"),
        lambda spec: spec["template"]["spec"].update(domain="train"),
        lambda spec: spec["template"]["spec"]["containers"][0].update(command="train"),
    ],
)
def test_the_schema_finds_what_is_wrong(spoil, validate):
    check, error = validate
    job = of_kind(JOBS / "train-kubernetes.yaml", "Job")
    spoil(job["spec"])
    with pytest.raises(error):
        check(job, VERSIONS[0], strict=True)


def commands(path, **variables):
    for pod in pods(path):
        for container in pod["containers"]:
            assert container["command"][0] == "keras-effnet"
            yield [
                re.sub(r"\$\((\w+)\)", lambda match: variables[match[1]], word)
                for word in container["command"][1:]
            ]


@kubernetes
def test_the_commands_under_kubernetes(path, parser):
    for command in commands(path, JOB_COMPLETION_INDEX="3", POD_IP="10.0.0.1"):
        parser.parse_args(command)


def test_the_processes_find_each_other(parser):
    path = JOBS / "train-kubernetes.yaml"
    service, job = of_kind(path, "Service"), of_kind(path, "Job")
    name, spec = job["metadata"]["name"], job["spec"]
    (command,) = commands(path, JOB_COMPLETION_INDEX="3")
    args = parser.parse_args(command)
    host, _, port = args.cluster.partition(":")
    assert host == f"{name}-0.{service['metadata']['name']}"
    assert [each["port"] for each in service["spec"]["ports"]] == [int(port)]
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"batch.kubernetes.io/job-name": name}
    assert spec["template"]["spec"]["subdomain"] == service["metadata"]["name"]
    assert spec["completionMode"] == "Indexed"
    assert spec["completions"] == spec["parallelism"] == args.processes
    assert args.process_id == 3


def test_every_gpu_of_a_container_is_used():
    (container,) = next(pods(JOBS / "train-kubernetes.yaml"))["containers"]
    count = container["resources"]["limits"]["nvidia.com/gpu"]
    environment = {each["name"]: each["value"] for each in container["env"]}
    assert environment["JAX_LOCAL_DEVICE_IDS"] == ",".join(map(str, range(count)))


def test_what_kubernetes_does_with_an_exit_code():
    spec = of_kind(JOBS / "train-kubernetes.yaml", "Job")["spec"]
    # A policy is refused with any other.
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    rules = spec["podFailurePolicy"]["rules"]

    def action(code):
        for rule in rules:
            if "onExitCodes" in rule and code in rule["onExitCodes"]["values"]:
                return rule["action"]
        return "Count"

    assert action(1) == action(2) == "FailJob"
    assert action(cli.RESTART) == "Ignore"
    assert action(128 + 6) == "Count"
    assert action(137) == "Count"
    # Whatever its exit code, a disruption is no failure.
    assert rules[0]["action"] == "Ignore"
    assert rules[0]["onPodConditions"][0]["type"] == "DisruptionTarget"


@kubernetes
def test_volumes_are_there(path):
    claims = {
        each["metadata"]["name"]
        for each in resources(path)
        if each["kind"] == "PersistentVolumeClaim"
    }
    for pod in pods(path):
        names = {volume["name"] for volume in pod.get("volumes", ())}
        for container in pod["containers"]:
            for mount in container.get("volumeMounts", ()):
                assert mount["name"] in names
        for volume in pod.get("volumes", ()):
            if "persistentVolumeClaim" in volume and claims:
                assert volume["persistentVolumeClaim"]["claimName"] in claims
