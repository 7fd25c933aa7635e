"""The files of etc/ are what the code and the operator's guide say, as far as parsing shows."""

from __future__ import annotations

import configparser
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]
from starlette.routing import Route

from stac_client import Modifier
from stac_client._source_rse import SCHEMES, source_protocol
from stac_policy.settings import Settings, parse
from stac_rucio.cli import cli
from stac_rucio.serve import make_app
from tests.fake_rucio import FakeRucio

PROJECT = Path(__file__).parents[2]
ETC = PROJECT / "etc"
GUIDE = (PROJECT / "docs" / "operators.md").read_text()
METRICS = {
    *("stac_policy_unresolved_assets_total", "stac_policy_refused_urls_total"),
    *("stac_policy_stac_api_requests_total", "stac_policy_stac_api_seconds"),
}
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    text = (PROJECT / "docs" / page).read_text()
    return [block for found, block in BLOCK.findall(text) if found == language]


def without_comments(name: str) -> str:
    """The lines of a file that are no comments."""
    lines = (ETC / name).read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("#")).strip()


def test_each_file_is_in_the_table() -> None:
    """The table says of every file how it was tested, and of no other."""
    table = (ETC / "README.md").read_text().partition("| file |")[2].partition("\n\n")[0]
    rows = [row.split("|")[1] for row in table.splitlines()[2:]]
    named = [name for row in rows for name in re.findall("`(.*?)`", row)]
    assert sorted(named) == sorted({path.name for path in ETC.iterdir()} - {"README.md"})


@pytest.mark.parametrize("name", ["rucio.cfg", "rucio-client.cfg"])
def test_rucio_cfg(name: str) -> None:
    """Rucio reads it, also with everything that is commented out, and no option is wrong."""
    text = (ETC / name).read_text()
    everything = re.sub(r"^# (\[\w+\]|\w+ = .*)$", r"\1", text, flags=re.MULTILINE)
    assert everything != text
    for each in (text, everything):
        parser = configparser.ConfigParser()
        parser.read_string(each.replace("= /opt/rucio/etc/origins.tsv", "="))
        assert parser["policy"]["package"] == "stac_policy"
        if parser.has_section("stac"):
            settings, problems = parse(parser["stac"])
            assert problems == []
            assert settings != Settings()


def test_rses() -> None:
    """The source RSE has the protocols, the settings and the attributes that setup-rse gives it."""
    data = json.loads((ETC / "rses.json").read_text())
    source = data["rses"]["STAC"]
    assert source["protocols"] == [source_protocol(scheme) for scheme in reversed(SCHEMES)]
    assert not source["deterministic"]
    assert source["attributes"]["supported_checksums"] == "none"
    (destination,) = data["distances"]["STAC"]
    assert data["rses"][destination]["attributes"]["fts"] == source["attributes"]["fts"]


def test_helm() -> None:
    """The values are those of the guide."""
    values = yaml.safe_load((ETC / "helm.yaml").read_text())
    shown: dict[str, Any] = {}
    for block in blocks("operators.md", "yaml"):
        shown |= yaml.safe_load(block)
    assert values == shown
    (variable,) = yaml.safe_load((ETC / "helm-server.yaml").read_text())["additionalEnvs"]
    assert f"{variable['name']}={variable['value']}\n" in GUIDE


def test_configuration_of_containers(tmp_path: Path) -> None:
    """Rucio's own tool, which images run, makes the guide's rucio.cfg of either form."""
    (wanted,) = (block for block in blocks("operators.md", "ini") if "allowed_hosts" in block)
    (lines,) = (block for block in blocks("operators.md", "text") if "RUCIO_CFG_" in block)
    (tmp_path / "common.json").write_text(
        json.dumps(yaml.safe_load((ETC / "helm.yaml").read_text())["config"])
    )
    tool = Path(sys.prefix, "rucio", "tools", "merge_rucio_configs.py")
    variables = dict(line.split("=", 1) for line in lines.splitlines())
    ways: list[tuple[tuple[str, ...], dict[str, str]]] = [
        (("--use-env",), variables),
        (("-s", str(tmp_path / "common.json")), {}),
    ]
    for options, environment in ways:
        cfg = tmp_path / "rucio.cfg"
        subprocess.run(  # noqa: S603 - Rucio's
            [sys.executable, tool, *options, "-d", cfg], env=environment, check=True
        )
        assert as_dict(cfg.read_text()) == as_dict(wanted)


def as_dict(text: str) -> dict[str, dict[str, str]]:
    """The options of a rucio.cfg by section."""
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {section: dict(parser[section]) for section in parser.sections()}


def test_helm_of_serve() -> None:
    """The command line is understood, and what is probed and scraped are paths that there are."""
    values = yaml.safe_load((ETC / "helm-serve.yaml").read_text())
    (container,) = values["controllers"]["serve"]["containers"].values()
    understood(["stac-rucio", "serve", *container["args"]])
    (scraped,) = values["serviceMonitor"]["serve"]["endpoints"]
    probed = [probe["spec"]["httpGet"]["path"] for probe in container["probes"].values()]
    app = make_app("https://stac.example.org/v1", Modifier(FakeRucio()))
    paths = [route.path for route in app.routes if isinstance(route, Route)]
    assert {*probed, scraped["path"]} == {*paths[:-1]}
    (mount,) = values["persistence"]["rucio-client"]["globalMounts"]
    assert container["env"]["RUCIO_CONFIG"] == f"{mount['path']}/rucio.cfg"


@pytest.mark.parametrize("name", ["Containerfile", "Containerfile.gateway", "Containerfile.serve"])
def test_containers(name: str) -> None:
    """What is installed is tried in the same line; the line for Rucio's images is the guide's."""
    (run,) = re.findall("^RUN (.*)$", (ETC / name).read_text(), re.MULTILINE)
    pip, _, check = run.partition(" && ")
    assert pip.startswith("python3 -m pip install --no-cache-dir ")
    assert check.startswith("python3 -c 'import stac_")
    if name == "Containerfile":
        assert f"RUN {run}\n" in GUIDE
        assert "ENV RUCIO_HTTPD_ENCODED_SLASHES_NO_DECODE=True\n" in (ETC / name).read_text()
    else:
        (entry,) = re.findall("^ENTRYPOINT (.*)$", (ETC / name).read_text(), re.MULTILINE)
        more = ["--api", "https://stac.example.org/v1"] if name.endswith("serve") else []
        understood([*json.loads(entry), *more])


@pytest.mark.parametrize("verb", ["serve", "gateway"])
def test_unit(verb: str) -> None:
    """Systemd's file has a command line that is understood, and ends later than that does."""
    parser = configparser.RawConfigParser(strict=False)  # as an option may be there twice
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read(ETC / f"stac-rucio-{verb}.service")
    service = parser["Service"]
    program, *arguments = shlex.split(service["ExecStart"])
    understood([Path(program).name, *arguments])
    assert int(service["TimeoutStopSec"]) > 10
    assert parser["Install"]["WantedBy"] == "multi-user.target"


def test_several_clients(tmp_path: Path) -> None:
    """Each task of a Kubernetes or Slurm job takes a partition of its own, and all take all."""
    program = tmp_path / "stac-rucio"
    program.write_text('#!/bin/sh\nprintf "%s\\n" stac-rucio "$@"\n')
    program.chmod(0o755)
    job = yaml.safe_load((ETC / "kubernetes-job.yaml").read_text())["spec"]
    (container,) = job["template"]["spec"]["containers"]
    script = (ETC / "slurm-array.sh").read_text()
    (count,) = re.findall("^#SBATCH --array=1-([0-9]+)%", script, re.MULTILINE)
    pods = [
        ([*container["command"], *container["args"]], {"JOB_COMPLETION_INDEX": str(index)})
        for index in range(job["completions"])
    ]
    submitted = ["sh", str(ETC / "slurm-array.sh"), "--api", "https://x.org", "--rse", "STAC"]
    tasks = [(submitted, {"SLURM_ARRAY_TASK_ID": str(task)}) for task in range(1, int(count) + 1)]
    for each in (pods, tasks):
        partitions = []
        for command, variables in each:
            path = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
            run = subprocess.run(  # noqa: S603 - our own files
                command, env=path | variables, stdout=subprocess.PIPE, check=True
            )
            ran = run.stdout.decode().splitlines()
            understood(ran)
            partitions.append(ran[ran.index("--partition") + 1])
        assert partitions == [f"{number}/{len(each)}" for number in range(1, len(each) + 1)]


def understood(command: list[str]) -> None:
    """Parse a command line without running it."""
    # The gateway's configuration has to be there: any file is.
    command = [str(ETC / "README.md") if each.endswith(".toml") else each for each in command]
    program, verb, *arguments = command
    assert program == "stac-rucio"
    with cli.make_context(program, [verb]) as context:
        found = cli.get_command(context, verb)
        assert found is not None
        found.make_context(verb, arguments, parent=context).close()


def test_web_servers() -> None:
    """They are as the guides say."""
    switch = "AllowEncodedSlashes NoDecode"
    assert f"{switch}\n" in GUIDE
    assert switch in without_comments("apache.conf").splitlines()
    assert f"{without_comments('nginx-serve.conf')}\n" in blocks("serve.md", "text")


@pytest.mark.parametrize("name", ["prometheus-rules.yml", "grafana-dashboard.json"])
def test_metrics(name: str) -> None:
    """No expression asks for a metric that nobody counts, and none of them is forgotten."""
    text = (ETC / name).read_text()
    expressions = [
        *re.findall(r'"expr": (".*"),', text),
        *(rule["expr"] for group in groups(text) for rule in group["rules"]),
    ]
    found = set(re.findall(r"\bstac_policy_\w+", " ".join(expressions)))
    asked = {name.removesuffix("_bucket") for name in found}
    assert asked == METRICS - ({"stac_policy_stac_api_seconds"} if name.endswith("yml") else set())
    page = (PROJECT / "docs" / "observability.md").read_text()
    assert {name for name in METRICS if f"`{name}" in page} == METRICS


def groups(text: str) -> Any:
    """The groups of rules, of a file that has some."""
    return yaml.safe_load(text).get("groups", [])


def test_prometheus() -> None:
    """Prometheus finds the rules, and asks the server where Rucio has its counters."""
    configuration = yaml.safe_load((ETC / "prometheus.yml").read_text())
    for name in configuration["rule_files"]:
        assert (ETC / name).is_file()
    assert configuration["scrape_configs"][0]["metrics_path"] == "/metrics/"
