"""The bookshop of examples/ in operation: real Envoys with applications behind them, and customers."""

import threading
import time

from harness import http1
from harness.fleet import Fleet

CHECKOUT = "mesh/bookshop/virtualNode/checkout"
ROUTES = ["rds_egress_http_9080", "rds_ingress_http_9080"]
PROTOCOLS = ["delta", "sotw"]


class Load(threading.Thread):
    """Requests on one connection, one after the other, until it is stopped. What fails is kept."""

    PAUSE_SECONDS = 0.02

    def __init__(self, name, connect, path, headers):
        super().__init__(name=name, daemon=True)
        self._connect, self._path, self._headers = connect, path, headers
        self._done = threading.Event()
        self.requests, self.failed, self.answered_by = 0, [], set()

    def run(self):
        connection = None
        while not self._done.wait(self.PAUSE_SECONDS):
            self.requests += 1
            try:
                connection = connection or self._connect()
                response = connection.request("GET", self._path, self._headers)
                assert response.status == 200, (response.status, response.body)
                self.answered_by.add(response.json()["name"])
            except Exception as error:
                self.failed.append((time.strftime("%X"), repr(error)))
                connection = None

    def stop(self):
        self._done.set()
        self.join(http1.TIMEOUT_SECONDS)


class Shop:
    """Six real Envoys, half of them in each protocol, with applications behind them."""

    def __init__(self, balancer, network, directory):
        self.fleets = {}
        for protocol in PROTOCOLS:
            (directory / protocol).mkdir()
            self.fleets[protocol] = Fleet(balancer, network, directory / protocol, protocol)
        delta, sotw = self.fleets.values()
        http = ("http", 9080)
        delta.sidecar("mesh/bookshop/virtualNode/books-v1", http, dns=["books-v1.shop.local"])
        sotw.sidecar("mesh/bookshop/virtualNode/books-v2", http, dns=["books-v2.shop.local"])
        checkouts = [fleet.sidecar(CHECKOUT, http) for fleet in (delta, sotw)]
        gateway = delta.gateway("mesh/bookshop/virtualGateway/storefront")
        sotw.sidecar("mesh/bookshop/virtualNode/helpdesk", http)
        self.loads = [Load("storefront", lambda: gateway.connect(8088), "/books/1", {"host": "shop.example"})]
        for protocol, checkout in zip(PROTOCOLS, checkouts):
            self.loads.append(Load(f"checkout, {protocol}", lambda checkout=checkout: checkout.calls(9080), "/1",
                                   {"host": "books.shop.local:9080"}))
        for envoy in self.envoys:
            envoy.wait_until_live(40)
        assert checkouts[0].envoy.config()["routes"] == ROUTES

    @property
    def envoys(self):
        return [envoy for fleet in self.fleets.values() for envoy in fleet.envoys]

    def updates(self):
        """{protocol: what each Envoy has accepted}"""
        return {protocol: [envoy.updates() for envoy in fleet.envoys] for protocol, fleet in self.fleets.items()}

    def stop(self):
        for load in self.loads:
            if load.is_alive():
                load.stop()
        for fleet in self.fleets.values():
            fleet.stop()
