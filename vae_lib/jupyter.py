"""An extension of the Jupyter server: what a kernel says reaches the browser at once.

A kernel first says that it is busy, then answers. TCP holds the second small message back until
the first is acknowledged (Nagle, RFC 896), and browsers acknowledge up to 40 ms late; the server
leaves that as it is for its WebSockets. A face that follows a slider would lag by it.

``etc/jupyter/jupyter_server_config.d/vae_lib.json`` switches this on where the package is
installed in the server's own environment; `jupyter server extension disable vae_lib.jupyter`
switches it off.
"""

from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "vae_lib.jupyter"}]


def _load_jupyter_server_extension(server: Any) -> None:
    from jupyter_server.services.kernels.connection.channels import ZMQChannelsWebsocketConnection

    class PromptConnection(ZMQChannelsWebsocketConnection):
        """Jupyter's own connection, whose messages wait for nothing."""

        def connect(self) -> Any:
            self.websocket_handler.set_nodelay(True)
            return super().connect()

    # Connections of another kind, to a gateway for example, are left alone.
    settings, name = server.web_app.settings, "kernel_websocket_connection_class"
    if settings.get(name) is ZMQChannelsWebsocketConnection:
        settings[name] = PromptConnection
