"""What deploy/ has, against the schemas of Compose and Kubernetes, and against itself."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import compose_spec
import kubernetes_validate
import pytest
import yaml

ROOT = Path(__file__).parents[1]
COMPOSE = (ROOT / "deploy/compose.yaml").read_text(encoding="utf-8")
POOL = json.loads((ROOT / "deploy/kubernetes-pool.json").read_text(encoding="utf-8"))
PAGE = (ROOT / "docs/how-to/many-machines.md").read_text(encoding="utf-8")
KUBERNETES = "1.31"


def read(text: str) -> Any:
    """As Docker Compose reads it; the specification's own schema refuses what it does not know."""
    found = compose_spec.PyCompose.from_json(json.dumps(yaml.safe_load(text)))
    found.validate()
    return yaml.safe_load(text)


def test_the_compose_file_is_one():
    assert set(read(COMPOSE)["services"]) > {"server", "database", "store", "publisher"}


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("environment:", "enviroment:"),
        ("restart: unless-stopped", "restart: sometimes"),
        ('"4200:4200"', '"42a:4200"'),
        ("profiles: [publish]", "profiles: publish"),
    ],
)
def test_a_mistake_in_it_would_be_seen(right, wrong):
    assert right in COMPOSE
    with pytest.raises(ValueError, match=r"line 1|parsing"):
        read(COMPOSE.replace(right, wrong))


def test_services_name_only_what_is_there():
    content = read(COMPOSE)
    services = content["services"]
    for service in services.values():
        assert set(service.get("depends_on", [])) <= set(services)
        named = {volume.partition(":")[0] for volume in service.get("volumes", [])}
        assert named <= set(content["volumes"])
    hosts = set(re.findall(r"(?:http://|@)(\w[\w-]*):\d+", COMPOSE))
    assert hosts
    assert hosts <= set(services)


def test_the_page_sets_what_the_compose_file_asks_for():
    asked = set(re.findall(r"\$\{(\w+)\}", COMPOSE))
    assert asked == set(re.findall(r"(\w+)=\$\(openssl", PAGE))


def filled(value: Any, chosen: dict[str, Any]) -> Any:
    """A job's template with the values of its variables, as Prefect's worker fills it."""
    if isinstance(value, dict):
        return {key: filled(one, chosen) for key, one in value.items()}
    if isinstance(value, list):
        return [filled(one, chosen) for one in value]
    if not isinstance(value, str):
        return value
    alone = re.fullmatch(r"{{ (\w+) }}", value)
    return chosen[alone[1]] if alone else re.sub(r"{{ (\w+) }}", lambda m: chosen[m[1]], value)


@pytest.fixture
def job() -> dict[str, Any]:
    """What Kubernetes gets; the worker adds command and environment, as a list of names."""
    defaults = {k: v.get("default") for k, v in POOL["variables"]["properties"].items()}
    chosen = defaults | {"name": "seeds", "env": [{"name": "PREFECT_API_URL", "value": "http://x"}]}
    return filled(POOL["job_configuration"]["job_manifest"], chosen)


def test_the_template_makes_a_job_of_kubernetes(job):
    kubernetes_validate.validate(job, KUBERNETES, strict=True)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda job: job["spec"].update(backofLimit=0),
        lambda job: job["spec"].update(backoffLimit="none"),
        lambda job: job["spec"]["template"]["spec"]["containers"][0].pop("name"),
        lambda job: job["spec"]["template"]["spec"].pop("containers"),
    ],
)
def test_a_mistake_in_the_template_would_be_seen(job, spoil: Callable[[dict], None]):
    spoil(job)
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(job, KUBERNETES, strict=True)
