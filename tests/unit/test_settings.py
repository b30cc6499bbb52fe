"""Stack configuration, and the message for each mistake in it."""

from __future__ import annotations

import json
import re

import pytest
import yaml
from pydantic import ValidationError

from routes import settings as settings_module
from routes.errors import SettingsError
from routes.model import Selector
from routes.settings import Settings
from sandbox import TOP
from tests.builders import LAB_CONFIG, networks, one_line, settings


def complaint(**changes: str) -> str:
    """Return the error for the lab's configuration with other values."""
    with pytest.raises(SettingsError) as caught:
        settings(**changes)
    return str(caught.value)


def test_the_lab_needs_three_keys_and_the_rest_has_defaults() -> None:
    assert dict(settings()) == {
        "route_tables": (Selector("kubernetes"),),
        "workers": (Selector("worker-0"), Selector("worker-1"), Selector("worker-2")),
        "cluster_cidr": networks("10.200.0.0/16"),
        "worker_tags": {},
        "min_workers": 1,
        "pod_cidr_key": "pod-cidr",
        "pod_cidr_from": "userData",
        "source_dest_check": "warn",
        "kubeconfig": "",
        "kube_context": "",
        "unready": "refuse",
        "protect": False,
        "max_removals": "100%",
        "route_quota": 0,
    }


def test_a_new_project_asks_for_keys_without_a_default_and_proposes_the_lab() -> None:
    prompts = yaml.safe_load((TOP / "Pulumi.yaml").read_text())["template"]["config"]
    answers = {key: entry["default"] for key, entry in prompts.items()}

    assert {key.removeprefix("pod-routes:") for key in prompts} == {"aws:region"} | {
        str(field.alias)
        for field in Settings.model_fields.values()
        if field.is_required()
    }
    assert all(entry["description"] for entry in prompts.values())
    assert settings_module.load(answers, "dev") == settings()


def text_of(value: object) -> str:
    """Return what Pulumi passes for a value in a stack's file."""
    return value if isinstance(value, str) else json.dumps(value)


def test_the_file_of_the_lab_is_valid() -> None:
    values = yaml.safe_load((TOP / "Pulumi.dev.yaml").read_text())["config"]
    config = {key: text_of(value) for key, value in values.items()}

    assert settings_module.load(config, "dev") == settings()


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("worker-0,w-1", id="a comma between them"),
        pytest.param(" worker-0 , w-1\n", id="spaces around them"),
        pytest.param('["worker-0", "w-1"]', id="a list"),
        pytest.param(' ["worker-0", " w-1 "]', id="a list with spaces"),
        pytest.param("worker-0,w-1,worker-0", id="one twice"),
    ],
)
def test_entries_are_comma_separated_or_a_list(value: str) -> None:
    both = (Selector("worker-0"), Selector("w-1"))

    assert settings(workers=value).workers == both
    assert settings(routeTables=value).route_tables == both


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("10.200.0.0/16,fd00:200::/48", id="a comma between them"),
        pytest.param('["10.200.0.0/16", "fd00:200::/48"]', id="a list"),
    ],
)
def test_the_cluster_has_one_network_per_family(value: str) -> None:
    assert settings(clusterCidr=value).cluster_cidr == networks(
        "10.200.0.0/16", "fd00:200::/48"
    )


def test_the_other_keys_are_read_as_their_types() -> None:
    read = settings(
        workerTags='{"cluster": "blue"}',
        minWorkers="3",
        podCidrKey="pods",
        podCidrFrom="tag",
        protect="true",
        routeQuota="500",
    )

    assert read.worker_tags == {"cluster": "blue"}
    assert (read.min_workers, read.route_quota) == (3, 500)
    assert (read.pod_cidr_key, read.pod_cidr_from) == ("pods", "tag")
    assert read.protect is True


def test_keys_of_other_namespaces_are_ignored() -> None:
    assert settings_module.load({**LAB_CONFIG, "aws:region": "x"}, "dev") == settings()


@pytest.mark.parametrize(
    ("key", "value", "problem"),
    [
        pytest.param("workers", "", "found ''.", id="no entry"),
        pytest.param("workers", "[]", "found '[]'.", id="an empty list"),
        pytest.param(
            "workers",
            "worker-0,,worker-1",
            "found 'worker-0,,worker-1': one entry is empty or isn't text.",
            id="an empty entry",
        ),
        pytest.param(
            "workers",
            '["worker-0", 1]',
            "found '[\"worker-0\", 1]': one entry is empty or isn't text.",
            id="a number in a list",
        ),
        pytest.param(
            "workers",
            '["worker-0", ["worker-1"]]',
            "one entry is empty or isn't text.",
            id="a list in a list",
        ),
        pytest.param(
            "workers", '{"a": "b"}', 'found \'{"a": "b"}\': a map, not', id="a map"
        ),
        pytest.param("workers", '["worker-0"', "found '[\"worker-0\"'", id="half JSON"),
        pytest.param("routeTables", "[]", "found '[]'.", id="no table"),
        pytest.param(
            "clusterCidr",
            "10.200.0.0",
            "found '10.200.0.0': 10.200.0.0 is not a CIDR such as 10.200.0.0/24.",
            id="an address",
        ),
        pytest.param(
            "clusterCidr", "[16]", "16 is not a CIDR such as", id="a number as CIDR"
        ),
        pytest.param(
            "clusterCidr",
            "10.200.0.1/16",
            "10.200.0.1/16 has host bits set; its network is 10.200.0.0/16.",
            id="host bits",
        ),
        pytest.param(
            "clusterCidr",
            "10.200.0.0/16,10.201.0.0/16",
            "two networks of one IP family.",
            id="two of one family",
        ),
        pytest.param("clusterCidr", "", "found ''.", id="no cluster range"),
        pytest.param(
            "routeTables",
            "kubernetes,i-0a1b2c3d",
            "i-0a1b2c3d is the id of an instance.",
            id="an instance as a table",
        ),
        pytest.param(
            "workers",
            "rtb-0a1b2c3d",
            "rtb-0a1b2c3d is the id of a route table.",
            id="a table as a worker",
        ),
        pytest.param(
            "workerTags",
            json.dumps(dict.fromkeys(map(str, range(48)), "x")),
            "a map of at most 47 tags",
            id="more filters than EC2 takes in a request",
        ),
        pytest.param("workerTags", "a=b", "found 'a=b'", id="not a map"),
        pytest.param("workerTags", '["a"]', "found '[\"a\"]'.", id="a list"),
        pytest.param("minWorkers", "0", "at least 1; found '0'.", id="none at all"),
        pytest.param("minWorkers", "two", "found 'two'.", id="a word"),
        pytest.param("minWorkers", "1.5", "found '1.5'.", id="a fraction"),
        pytest.param(
            "maxRemovals", "few", "managed ones; found 'few'.", id="no number"
        ),
        pytest.param("maxRemovals", "101%", "found '101%'.", id="more than all"),
        pytest.param("maxRemovals", "-1", "found '-1'.", id="fewer than none"),
        pytest.param("routeQuota", "-1", "found '-1'.", id="a negative quota"),
        pytest.param("protect", "maybe", "true or false; found 'maybe'.", id="unsure"),
        pytest.param("unready", "wait", "refuse or skip; found 'wait'.", id="a wish"),
        pytest.param("podCidrKey", "", "found ''.", id="no key"),
        pytest.param(
            "podCidrFrom",
            "userdata",
            "userData, tag or node; found 'userdata'.",
            id="case",
        ),
    ],
)
def test_a_value_of_the_wrong_kind_names_key_stack_and_command(
    key: str, value: str, problem: str
) -> None:
    text = complaint(**{key: value})

    assert f"\npod-routes:{key}: expected " in text
    assert problem in one_line(text)
    assert text.startswith(
        "The configuration of stack dev (Pulumi.dev.yaml) is invalid.\n"
    )
    assert re.search(rf"\n  pulumi config set pod-routes:{key} \S.* --stack dev$", text)
    assert text.count("\npod-routes:") == 1


@pytest.mark.parametrize("key", ["workers", "routeTables", "clusterCidr"])
def test_a_required_key_that_is_missing_is_reported_as_not_set(key: str) -> None:
    config = {k: v for k, v in LAB_CONFIG.items() if k != f"pod-routes:{key}"}

    with pytest.raises(SettingsError) as caught:
        settings_module.load(config, "prod")

    assert "it is not set." in one_line(caught.value)
    assert f"  pulumi config set pod-routes:{key} " in str(caught.value)
    assert str(caught.value).endswith(" --stack prod")


@pytest.mark.parametrize(
    ("key", "near"),
    [
        pytest.param("worker", "workers", id="a letter short"),
        pytest.param("Workers", "workers", id="another case"),
        pytest.param("route_tables", "routeTables", id="Python's spelling"),
        pytest.param("clusterCIDR", "clusterCidr", id="an abbreviation in capitals"),
        pytest.param("quota", "routeQuota", id="half of it"),
    ],
)
def test_an_unknown_key_names_the_nearest_known_one(key: str, near: str) -> None:
    text = complaint(**{key: "x"})

    assert one_line(text) == (
        "The configuration of stack dev (Pulumi.dev.yaml) is invalid."
        f" pod-routes:{key}: there is no such key; the nearest name is"
        f" pod-routes:{near}."
        " Remove it:"
        f" pulumi config rm pod-routes:{key} --stack dev"
    )


def test_the_value_of_a_misspelt_key_moves_to_the_intended_one() -> None:
    text = complaint(minWorker="3 or so")

    assert text.endswith(
        "  Set that key instead, and remove this one:\n"
        "  pulumi config set pod-routes:minWorkers '3 or so' --stack dev"
        " && pulumi config rm pod-routes:minWorker --stack dev"
    )


def test_a_key_that_is_set_is_not_set_again_for_a_misspelt_one() -> None:
    assert "config set" not in complaint(minWorker="3", minWorkers="5")


def test_the_value_of_a_key_that_resembles_none_is_not_shown() -> None:
    """It may be a secret for another namespace."""
    assert "hidden" not in complaint(secretKey="hidden")


def test_all_mistakes_are_reported_at_once() -> None:
    assert complaint(minWorkers="0", worker="x", clusterCidr="10.200.0.1/16") == (
        "The configuration of stack dev (Pulumi.dev.yaml) is invalid.\n"
        "pod-routes:clusterCidr: expected the cluster's pod range, one\n"
        "  network per IP family; found '10.200.0.1/16': 10.200.0.1/16 has host bits\n"
        "  set; its network is 10.200.0.0/16.\n"
        "  Correct it:\n"
        "  pulumi config set pod-routes:clusterCidr '<corrected>' --stack dev\n"
        "pod-routes:minWorkers: expected a whole number, at least 1; found\n"
        "  '0'.\n"
        "  Set it, for example:\n"
        "  pulumi config set pod-routes:minWorkers 3 --stack dev\n"
        "pod-routes:worker: there is no such key; the nearest name is\n"
        "  pod-routes:workers.\n"
        "  Remove it:\n"
        "  pulumi config rm pod-routes:worker --stack dev"
    )


def test_a_long_value_is_shown_in_part() -> None:
    text = complaint(workers=",".join(f"worker-{n}" for n in range(99)) + ",")

    assert "found 'worker-0,worker-1" in one_line(text)
    assert max(map(len, text.splitlines())) <= 80


def test_the_example_in_each_command_is_itself_valid() -> None:
    for field in Settings.model_fields.values():
        assert field.examples
        example = str(field.examples[0]).strip("'")
        assert settings(**{str(field.alias): example}).workers


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        settings().min_workers = 2


@pytest.mark.parametrize("value", ["1", "true", "null"])
def test_a_tag_that_pulumi_parsed_as_a_number_is_reported_with_the_type(
    value: str,
) -> None:
    """`pulumi config set --path 'pod-routes:workerTags["x"]' 1` makes it one."""
    with pytest.raises(SettingsError) as caught:
        settings(workerTags=f'{{"x": {value}, "y": "a"}}')

    (fault,) = caught.value.faults
    assert fault.resource == 'pod-routes:workerTags["x"]'
    assert f"found {value}, which Pulumi has parsed as another type." in one_line(fault)
    assert fault.command == (
        "pulumi config set --path --type string 'pod-routes:workerTags[\"x\"]'"
        f" {value} --stack dev"
    )
