"""The demo: real Envoys follow a mesh definition, a change reaches only its consumers, and the control plane may die.

Asks nothing, cleans up after itself, and ends with 0 only if every statement that it printed was checked and true.
"""

import sys
import time
from collections import Counter
from contextlib import ExitStack

from harness import http1, locate, netns
from harness.definitions import documents
from harness.dns import DnsServer
from harness.envoy import Envoy
from harness.fleet import Fleet, start_application
from harness.legation import Legation
from harness.scratch import Scratch

GATEWAY = "mesh/bookshop/virtualGateway/storefront"
SIDECARS = {
    # virtual node: the DNS name under which the definition looks for it
    "books-v1": "books-v1.shop.local",
    "books-v2": "books-v2.shop.local",
    "reviews": "reviews.hosts.shop.local",
    "checkout": "checkout.shop.local",
    "helpdesk": "helpdesk.shop.local",
}
CONSUMERS_OF_BOOKS = {"storefront", "checkout"}
APP_PORT = 9080
GATEWAY_PORT = 8088

REQUESTS = 500
# so many answers in a row from the new version count as "the traffic has followed"
STEADY = 50
TOLERATED_DEVIATIONS = 5


class Story:
    """What is told, and whether all of it was true."""

    def __init__(self):
        self.steps = 0
        self.failures = []
        self.began = time.monotonic()

    def step(self, title):
        self.steps += 1
        print(f"\n{self.steps}. {title}", flush=True)

    def say(self, text=""):
        for line in text.splitlines():
            print(f"   {line}", flush=True)

    def check(self, true, statement):
        print(f"   {'ok  ' if true else 'FAIL'}  {statement}", flush=True)
        if not true:
            self.failures.append(statement)

    def table(self, header, rows):
        widths = [max(len(str(row[column])) for row in [header, *rows]) for column in range(len(header))]
        for row in [header, ["-" * width for width in widths], *rows]:
            self.say("  ".join(str(cell).ljust(width) for cell, width in zip(row, widths)).rstrip())

    def end(self):
        seconds = time.monotonic() - self.began
        if self.failures:
            print(f"\n{len(self.failures)} statements were not true, after {seconds:.0f} s:")
            for statement in self.failures:
                print(f"  - {statement}")
            return 1
        print(f"\nAll of that was checked and true. It took {seconds:.0f} s; everything has been cleaned up.")
        return 0


class Stage:
    """The Envoys and applications, and how to reach them."""

    def __init__(self, envoys, gateway_address, checkout_calls, helpdesk_calls):
        self.envoys = envoys
        self.gateway_address = gateway_address
        # None where there are no sidecars
        self.checkout_calls = checkout_calls
        self.helpdesk_calls = helpdesk_calls

    def updates(self):
        return {name: envoy.updates() for name, envoy in self.envoys.items()}

    def callers(self, stack):
        """{who: function that asks for a book and returns the Response}, over connections that `stack` closes."""
        storefront = stack.enter_context(http1.Connection(self.gateway_address))
        callers = {"storefront": lambda: storefront.request("GET", "/books/42", {"host": "www.example.com"})}
        if self.checkout_calls:
            checkout = stack.enter_context(self.checkout_calls())
            callers["checkout"] = lambda: checkout.request("GET", "/42", {"host": "books.shop.local:9080"})
        return callers


def stage_with_sidecars(network, legation, directory, stack):
    fleet = Fleet(legation, network, directory)
    stack.callback(fleet.stop)
    sidecars = {
        name: fleet.sidecar(f"mesh/bookshop/virtualNode/{name}", ("http", APP_PORT), dns=[hostname])
        for name, hostname in SIDECARS.items()
    }
    gateway = fleet.gateway(GATEWAY)
    envoys = {"storefront": gateway.envoy, **{name: sidecar.envoy for name, sidecar in sidecars.items()}}
    return Stage(envoys, (gateway.host.address, GATEWAY_PORT),
                 lambda: sidecars["checkout"].calls(APP_PORT), lambda: sidecars["helpdesk"].calls(APP_PORT))


def stage_with_a_gateway_only(legation, directory, stack):
    """Without namespaces: the whole of 127.0.0.0/8 is this machine, so each application has an address of its own."""
    dns = DnsServer()
    stack.callback(dns.close)
    for number, name in enumerate(("books-v1", "books-v2"), start=1):
        address = f"127.0.77.{number}"
        dns.set(SIDECARS[name], address)
        stack.callback(start_application(name, directory, [("http", address, APP_PORT)]).stop)
    gateway = Envoy(legation, GATEWAY, directory, dns=dns)
    stack.callback(gateway.stop)
    return Stage({"storefront": gateway}, ("127.0.0.1", GATEWAY_PORT), None, None)


def main():
    story = Story()
    with ExitStack() as stack:
        directory = stack.enter_context(Scratch())
        missing = netns.missing()
        network = None if missing else netns.Network()
        legation = Legation(directory, xds_host=network.address if network else "127.0.0.1")
        stack.callback(legation.stop)
        tell(story, legation, network, missing, directory, stack)
    return story.end()


def tell(story, legation, network, missing, directory, stack):
    story.step("Start the control plane, on an empty store")
    legation.start()
    story.say(f"legation serve: API {legation.api}, xDS {legation.xds}, admin {legation.admin}")

    story.step("Apply a mesh: examples/bookshop")
    applied = legation.apply(locate.EXAMPLES / "bookshop")
    story.say(applied.stdout + applied.stderr)
    count = len(documents("bookshop"))
    story.check(applied.code == 0 and applied.counts == (count, 0, 0, 0), f"{count} resources were created")
    again = legation.apply(locate.EXAMPLES / "bookshop")
    story.check(again.code == 0 and again.counts == (0, 0, count, 0), "a second apply changes nothing")

    if missing:
        story.step("Start a real Envoy, for the gateway only")
        story.say(f"no sidecars here: {missing}. The gateway calls the applications directly.")
        stage = stage_with_a_gateway_only(legation, directory, stack)
    else:
        story.step("Start real Envoys: the gateway and every sidecar, each on a host (network namespace) of its own")
        stage = stage_with_sidecars(network, legation, directory, stack)
    for envoy in stage.envoys.values():
        envoy.wait_until_live()
    legation.wait_for_envoys(len(stage.envoys))
    story.say(legation.command("status", "--admin", f"http://{legation.admin}").stdout)
    story.check(all(not any(envoy.rejected().values()) for envoy in stage.envoys.values()),
                f"{len(stage.envoys)} Envoys are connected and in sync, and rejected nothing")

    callers = stage.callers(stack)
    story.step(f"Send {REQUESTS} requests each; the route says 80 : 20")
    tell_split(story, callers, {"books-v1": 80, "books-v2": 20})
    if stage.helpdesk_calls:
        tell_boundaries(story, stage)

    story.step("Shift the weights to 0 : 100, with boto3")
    tell_shift(story, legation, stage, callers)

    story.step("Kill the control plane (kill -9)")
    before = stage.updates()
    legation.kill()
    failed = sum(ask().status != 200 for ask in callers.values() for _ in range(REQUESTS))
    story.check(failed == 0, f"{REQUESTS * len(callers)} requests without a control plane: all were answered")

    story.step("Start it again, on the same store")
    began = time.monotonic()
    legation.restart()
    ready = time.monotonic()
    story.say(f"ready after {(ready - began) * 1000:.0f} ms; Envoys wait between their tries to come back")
    legation.wait_until_synced(len(stage.envoys), timeout_seconds=40)
    reconnected = time.monotonic()
    legation.wait_until_quiet()
    pushes, after = legation.pushes(), stage.updates()
    story.say("responses sent since the start: " + ", ".join(f"{kind} {count}" for kind, count in pushes.items()))
    story.check(True, f"all {len(stage.envoys)} Envoys reconnected by themselves, "
                      f"within {reconnected - ready:.1f} s")
    story.check(not any(pushes[kind] for kind in ("cds", "lds", "rds")), "nothing was resent, says Legation")
    story.check(after == before, "nothing was received, say the Envoys: their update counters have not moved")
    tell_split(story, callers, {"books-v2": 100})


def ask_all(ask, count):
    answers = [ask() for _ in range(count)]
    assert all(answer.status == 200 for answer in answers), Counter(answer.status for answer in answers)
    return Counter(answer.json()["name"] for answer in answers)


def tell_split(story, callers, weights):
    names = list(weights)
    rows = []
    for caller, ask in callers.items():
        counted = ask_all(ask, REQUESTS)
        rows.append([caller, *(f"{counted[name]} ({100 * counted[name] / REQUESTS:.1f} %)" for name in names)])
        for name, percent in weights.items():
            share = percent / 100
            tolerance = TOLERATED_DEVIATIONS * (share * (1 - share) / REQUESTS) ** 0.5
            if abs(counted[name] / REQUESTS - share) > tolerance or set(counted) - set(names):
                story.check(False, f"{caller}: {name} is to get {percent} %, and got {dict(counted)}")
    story.table(["asked by", *names], rows)
    story.check(not story.failures, "the split is what the definition says")


def tell_boundaries(story, stage):
    with stage.helpdesk_calls() as helpdesk:
        review = helpdesk.request("GET", "/", {"host": "reviews.shop.local:9080"})
        book = helpdesk.request("GET", "/", {"host": "books.shop.local:9080"})
    story.check(review.status == 200 and review.json()["name"] == "reviews", "the helpdesk reaches reviews.shop.local")
    story.check(book.status == 404, "and not books.shop.local, which is no backend of it")


def tell_shift(story, legation, stage, callers):
    pushes, updates = legation.pushes(), stage.updates()
    spec = {"httpRoute": {"match": {"prefix": "/"}, "action": {"weightedTargets": [
        {"virtualNode": "books-v1", "weight": 0}, {"virtualNode": "books-v2", "weight": 100}]}}}
    client = legation.client()
    client.describe_mesh(meshName="bookshop")  # so that the time below holds no connecting

    began = time.monotonic()
    client.update_route(meshName="bookshop", virtualRouterName="books", routeName="split", spec=spec)
    acknowledged = time.monotonic()
    story.say(f"the API call took {(acknowledged - began) * 1000:.0f} ms")
    # the Envoys are asked in turn until each has answered from the new version only, for a while
    followed, steady = dict.fromkeys(callers, began), dict.fromkeys(callers, 0)
    while min(steady.values()) < STEADY and time.monotonic() - began < 30:
        for caller, ask in callers.items():
            new = ask().json()["name"] == "books-v2"
            steady[caller] = steady[caller] + 1 if new else 0
            if steady[caller] == 1:
                followed[caller] = time.monotonic()
    for caller, moment in followed.items():
        story.check(steady[caller] >= STEADY,
                    f"the traffic of {caller} followed within {(moment - began) * 1000:.0f} ms of the call")
    tell_split(story, callers, {"books-v1": 0, "books-v2": 100})

    legation.wait_until_quiet()
    legation.wait_for_envoys(len(stage.envoys))
    pushed = {kind: count - pushes[kind] for kind, count in legation.pushes().items()}
    story.say()
    story.say("who was updated, by each Envoy's own counters (update_success, before -> after):")
    after = stage.updates()
    moved = {name for name in after if after[name] != updates[name]}
    story.table(
        ["Envoy", "consumer of books", "updated", *(kind.upper() for kind in ("cds", "lds", "rds"))],
        [[name, "yes" if name in CONSUMERS_OF_BOOKS else "no", "yes" if name in moved else "no",
          *(f"{updates[name][kind]} -> {after[name][kind]}" for kind in ("cds", "lds", "rds"))] for name in after],
    )
    consumers = CONSUMERS_OF_BOOKS & set(after)
    story.check(moved == consumers, f"only the consumers were updated: {', '.join(sorted(consumers))}")
    story.check({kind: count for kind, count in pushed.items() if count} == {"rds": len(consumers)},
                f"Legation pushed {len(consumers)} route configurations and nothing else "
                f"(legation_pushes_total: rds {pushes['rds']} -> {pushes['rds'] + pushed['rds']})")


if __name__ == "__main__":
    sys.exit(main())
