"""The server's extension: whose connections it takes over, and what they do then."""

from types import SimpleNamespace

import pytest

pytest.importorskip("jupyter_server")

from jupyter_server.gateway.connections import GatewayWebSocketConnection
from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

from vae_lib import jupyter

NAME = "kernel_websocket_connection_class"


def loaded_with(kind: type) -> type:
    server = SimpleNamespace(web_app=SimpleNamespace(settings={NAME: kind}))
    jupyter._load_jupyter_server_extension(server)
    return server.web_app.settings[NAME]


def test_a_message_does_not_wait_for_the_one_before(monkeypatch):
    kind = loaded_with(ZMQChannelsWebsocketConnection)
    assert issubclass(kind, ZMQChannelsWebsocketConnection)
    asked = []
    monkeypatch.setattr(ZMQChannelsWebsocketConnection, "connect", lambda self: "connected")
    connection = kind.__new__(kind)
    handler = SimpleNamespace(set_nodelay=asked.append)
    monkeypatch.setattr(kind, "websocket_handler", handler)
    assert connection.connect() == "connected"
    assert asked == [True]


def test_a_gateways_connections_are_left_alone():
    assert loaded_with(GatewayWebSocketConnection) is GatewayWebSocketConnection
