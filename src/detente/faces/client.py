"""Client: the command line's way to a running node, through its API and its own token."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

import httpx

from detente.errors import (
    Broken,
    Conflict,
    DetenteError,
    Invalid,
    Missing,
    NotAuthorised,
    PeerError,
    Unavailable,
)

__all__ = ["NodeClient", "Questions", "questions"]

_ANSWER_S = 600.0
_CLASSES: dict[int, type[DetenteError]] = {
    400: Invalid,
    401: NotAuthorised,
    403: NotAuthorised,
    404: Missing,
    406: Invalid,
    408: Invalid,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    502: PeerError,
    503: Unavailable,
}


class Questions(Protocol):
    """What can be asked of a node, running or not."""

    def get(self, path: str, **query: str | None) -> Any: ...


class NodeClient:
    """Calls the API of the node whose folder is given; errors are raised as they were stated."""

    def __init__(self, folder: Path) -> None:
        try:
            address = (folder / "address").read_text().strip()
            token = (folder / "token").read_text().strip()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise Unavailable(
                "node.not-running",
                f"Expected a running node in {folder}, got none.",
                hint=f"Start it with `detente serve {folder}`.",
            ) from error
        self._address = address
        self._token = token

    def get(self, path: str, **query: str | None) -> Any:
        """The answer to a question."""
        return self._call("GET", path, query, None)

    def post(self, path: str, body: bytes = b"", **query: str | list[str] | None) -> Any:
        """The answer to an act."""
        return self._call("POST", path, query, body)

    def delete(self, path: str) -> Any:
        """The answer to taking something away."""
        return self._call("DELETE", path, {}, None)

    def _client(self) -> httpx.Client:
        """For one call: a command makes one or two, and leaves no connection behind."""
        return httpx.Client(
            base_url=self._address,
            headers={"authorization": f"Bearer {self._token}"},
            timeout=_ANSWER_S,
            trust_env=False,
        )

    def _call(
        self,
        method: str,
        path: str,
        query: Mapping[str, str | list[str] | None],
        body: bytes | None,
    ) -> Any:
        params = {key: value for key, value in query.items() if value is not None}
        try:
            with self._client() as client:
                answer = client.request(method, path, params=params, content=body)
        except httpx.HTTPError as error:
            raise Unavailable(
                "node.unreachable",
                f"Expected an answer of the node, got {type(error).__name__}.",
                hint="Is it still running?",
            ) from error
        if answer.is_success:
            return answer.json()
        try:
            stated = answer.json()["error"]
        except (ValueError, KeyError) as error:
            raise Unavailable(
                "node.answer", f"Expected an answer of a node, got status {answer.status_code}."
            ) from error
        kind = _CLASSES.get(answer.status_code, Broken)
        raise kind(stated["code"], stated["sentence"], hint=stated["hint"], path=stated["path"])


def questions(stopped: Callable[[Path], Questions], folder: Path) -> Questions:
    """The running node if there is one, else the stopped one's store."""
    try:
        client = NodeClient(folder)
        client.get("/api/node")
    except Unavailable:
        return stopped(folder)
    return client
