"""Configuration of a node: one typed record, read from ``detente.toml`` in the node's folder.

An unknown key is an error, and nothing is created by accident: only ``detente init`` makes a
folder. Keys and passwords never stand here.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from detente.errors import Invalid

__all__ = ["CONFIG_NAME", "Config", "parse_config", "render_config"]

CONFIG_NAME = "detente.toml"

Milliseconds = Annotated[int, msgspec.Meta(ge=1, le=86_400_000)]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Every setting of a node.

    ``party``: the id of the party this node belongs to.

    ``name``: the party's name for people.

    ``host``: the name under which its ledgers are known; the first part of each ledger's origin
    and so fixed for the life of the node.

    ``listen``: address and port on which the node serves.

    ``exercise``: an exercise node; its documents, ledgers and answers say so and no live node
    accepts them. Fixed when the node is made.

    ``units``: the bodies of the party that send and receive.

    ``body_bytes_max``: the largest request body, in bytes.

    ``objects_max``: the most objects in one bundle or envelope.

    ``page_objects_max``: the most objects on one page.

    ``headers_ms`` and ``body_ms``: how long a client may take to send them.

    ``requests_max``: requests served at a time; more are told to come back.

    ``client_requests_per_minute``: how often a TAXII client may ask, unless its credential says
    otherwise; more are told to come back (429).

    ``tls_certificate`` and ``tls_key``: files (PEM) of the server's certificate and key; both or
    neither. Without them the node speaks plain HTTP, which is meant for loopback or for a proxy.

    ``tls_client_ca``: a file (PEM) of the authorities whose client certificates are accepted; a
    client may then show one, and it must be known (``detente client add --certificate``).

    ``sync_ms``: how often the node asks each partner for news; 0 means only on demand.

    ``links_at_work_max``: how many sources are polled at a time, and how many sinks pushed to; 0
    means only on demand.
    """

    party: str
    name: str
    host: str
    listen: str = "127.0.0.1:8400"
    exercise: bool = False
    units: tuple[str, ...] = ()
    body_bytes_max: Annotated[int, msgspec.Meta(ge=1024, le=1 << 30)] = 64 * 1024 * 1024
    objects_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    page_objects_max: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 1_000
    headers_ms: Milliseconds = 10_000
    body_ms: Milliseconds = 60_000
    requests_max: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 10_000
    client_requests_per_minute: Annotated[int, msgspec.Meta(ge=1, le=10_000_000)] = 60_000
    tls_certificate: str = ""
    tls_key: str = ""
    tls_client_ca: str = ""
    sync_ms: Annotated[int, msgspec.Meta(ge=0, le=86_400_000)] = 0
    links_at_work_max: Annotated[int, msgspec.Meta(ge=0, le=1_000)] = 32

    @property
    def address(self) -> tuple[str, int]:
        """Host and port of ``listen``."""
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


def parse_config(text: bytes) -> Config:
    """The configuration in a TOML text; raises ``Invalid`` naming the key."""
    try:
        config = msgspec.toml.decode(text, type=Config)
    except (msgspec.ValidationError, msgspec.DecodeError) as error:
        raise Invalid("config.invalid", f"Expected a valid {CONFIG_NAME}: {error}.") from error
    host, colon, port = config.listen.rpartition(":")
    if not (colon and host and port.isdigit() and int(port) < 65536):
        raise Invalid("config.listen", f"Expected HOST:PORT, got {config.listen}.", path="$.listen")
    if bool(config.tls_certificate) != bool(config.tls_key):
        raise Invalid("config.tls", "Expected tls_certificate and tls_key, got only one of them.")
    if config.tls_client_ca and not config.tls_certificate:
        raise Invalid("config.tls", "Expected tls_certificate beside tls_client_ca, got none.")
    return config


def render_config(config: Config) -> bytes:
    """The TOML text of a configuration, every key written out."""
    lines = []
    for key, value in msgspec.to_builtins(config).items():
        lines.append(f"{key} = {_toml(value)}")
    return ("\n".join(lines) + "\n").encode()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(one) for one in value) + "]"
    # A JSON string is a TOML basic string, escapes included.
    return msgspec.json.encode(value).decode()
