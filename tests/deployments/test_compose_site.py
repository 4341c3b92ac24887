"""The configurations of the Compose file work together: engine, three gateways and balancer run with them."""

import pytest
from site_of_compose import Site, address, eventually


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    with Site(tmp_path_factory.mktemp("site")) as running:
        yield running


def events(response, count):
    """Reads the data of the next events."""
    found = []
    while len(found) < count:
        line = response.readline().decode()
        assert line, "the response ended"
        if line.startswith("data: "):
            found.append(line.removeprefix("data: ").strip())
    return found


def test_a_client_reads_through_the_balancer_and_resumes_on_any_gateway(site):
    with site.subscribe() as response:
        first = events(response, 3)

    for _ in range(3):
        with site.subscribe(last_event_id=first[0].removeprefix("event ")) as response:
            assert events(response, 2) == first[1:]


def test_gateways_learn_the_clients_address(site):
    source = address(99)
    with site.subscribe(source=source) as response:
        events(response, 1)

    logs = "".join
    eventually(lambda: f"client={source}" in logs(site.log(f"gateway-{number}") for number in (1, 2, 3)), source)


def test_the_balancer_leaves_a_gateway_that_drains_before_it_refuses(site):
    site.drain(1)

    eventually(lambda: "Server gateways/gateway-1 is DOWN" in site.log("haproxy"), "the balancer has noticed")
    with site.subscribe(at=site.gateway(1)) as response:
        events(response, 1)
