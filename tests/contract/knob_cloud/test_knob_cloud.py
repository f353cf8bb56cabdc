"""One suite for every cloud that holds knobs: the double in memory, and our AWS client before moto."""

from collections.abc import Iterator
from typing import Any

import pytest

from itmp.adapters.aws import GROUP, SERVICE, Aws
from itmp.errors import InvalidInputError, NotFoundError
from itmp.testing.cloud import REGION, Cloud
from itmp.testing.knobs import MemoryCloud


@pytest.fixture(scope="module")
def moto() -> Iterator[Cloud]:
    with Cloud() as cloud:
        yield cloud


@pytest.fixture(params=["memory", "aws"])
def cloud(request: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    if request.param == "memory":
        memory = MemoryCloud()
        memory.add(GROUP, "web-asg", 4, floor=1, ceiling=10)
        memory.add(SERVICE, "prod/api", 2)
        return memory
    double = request.getfixturevalue("moto")
    double.reset()
    double.group("web-asg", desired=4, floor=1, ceiling=10)
    double.service("prod", "api", desired=2)
    for name, value in double.environ.items():
        monkeypatch.setenv(name, value)
    return Aws(region=REGION, endpoint=double.endpoint)


def test_reads_value_limits_and_arn(cloud: Any) -> None:
    group, service = cloud.read(GROUP, "web-asg"), cloud.read(SERVICE, "prod/api")
    assert (group.value, group.floor, group.ceiling) == (4, 1, 10)
    assert (service.value, service.floor, service.ceiling) == (2, 0, None)
    assert group.arn.split(":")[3:5] == service.arn.split(":")[3:5] == [REGION, "123456789012"]


def test_reading_changes_nothing(cloud: Any) -> None:
    assert cloud.read(GROUP, "web-asg") == cloud.read(GROUP, "web-asg")


@pytest.mark.parametrize(("knob", "resource"), [(GROUP, "web-asg"), (SERVICE, "prod/api")])
def test_a_write_sets_the_value_and_may_be_repeated(cloud: Any, knob: str, resource: str) -> None:
    cloud.write(knob, resource, 7)
    cloud.write(knob, resource, 7)
    assert cloud.read(knob, resource).value == 7


def test_is_lenient_so_that_no_guard_may_rest_on_it(cloud: Any) -> None:
    cloud.write(GROUP, "web-asg", 50)
    assert cloud.read(GROUP, "web-asg").value == 50


@pytest.mark.parametrize(
    ("knob", "resource"), [(GROUP, "nope"), (SERVICE, "prod/nope"), (SERVICE, "nope/api")]
)
def test_what_does_not_exist_is_named(cloud: Any, knob: str, resource: str) -> None:
    with pytest.raises(NotFoundError, match=r"nope|Cluster not found"):
        cloud.read(knob, resource)


@pytest.mark.parametrize("text", ["api", "/api", "prod/", "a/b/c", ""])
def test_a_service_is_cluster_and_name(text: str) -> None:
    with pytest.raises(InvalidInputError, match="not an ECS service"):
        Aws(region=REGION).read(SERVICE, text)


def test_an_unknown_knob_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="no knob"):
        Aws(region=REGION).read("aws:rds:Instance", "db")
    with pytest.raises(InvalidInputError, match="no knob"):
        Aws(region=REGION).write("aws:rds:Instance", "db", 1)


def test_an_unreachable_cloud_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
    with pytest.raises(InvalidInputError, match="endpoint") as caught:
        Aws(region=REGION, endpoint="http://127.0.0.1:9").read(GROUP, "web-asg")
    assert "AWS_PROFILE" in caught.value.do
