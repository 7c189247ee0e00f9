# SPDX-License-Identifier: Apache-2.0
"""The ServerApp: takes a round from the engine over a Unix socket, sends it to the nodes, and hands their answers back.

It runs in a process that the SuperLink starts. It checks nothing and adds nothing up.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from multiprocessing.connection import Client, Connection
from typing import Any, Final

from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.serverapp import Grid, ServerApp

from pocketrec.device.base import documents
from pocketrec.flower.relay import ANSWER, NODES, ROUND, WHO, read_key

app = ServerApp()
_POLL: Final = 0.3  # seconds


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Serve the engine until it hangs up."""
    config = context.run_config
    with Client(str(config["relay"]), "AF_UNIX", authkey=read_key(str(config["key"]))) as link:
        known = _nodes(grid, int(str(config["nodes"])), time.monotonic() + float(str(config["timeout"])))
        link.send_bytes(documents.line({NODES: known}).encode())
        while True:
            try:
                asked = documents.parse_table(link.recv_bytes())
                plan, weights = link.recv_bytes(), link.recv_bytes()
            except EOFError:
                return
            _round(grid, link, asked, plan, weights)


def _nodes(grid: Grid, wanted: int, until: float) -> dict[str, list[str]]:
    """Id of each node -> the devices that it holds; as many nodes as are there in time."""
    known: dict[str, list[str]] = {}
    while len(known) < wanted and time.monotonic() < until:
        new = [node for node in grid.get_node_ids() if str(node) not in known]
        left = max(1.0, until - time.monotonic())
        for reply in _replies(grid, [_message(node, {WHO: 1}, left) for node in new], left):
            known[str(reply.metadata.src_node_id)] = [str(name) for name in _list(reply, "devices")]
        time.sleep(_POLL)
    return known


def _round(grid: Grid, link: Connection[Any, Any], asked: dict[str, Any], plan: bytes, weights: bytes) -> None:
    """Send the round to each node with a chosen device; of each that answers, hand on a header and the contents."""
    timeout = float(asked["timeout"])
    messages = [_message(int(node), {ROUND: 1, "plan": plan, "weights": weights, "devices": devices}, timeout)
                for node, devices in asked["devices"].items()]  # fmt: skip
    for reply in _replies(grid, messages, timeout):
        contents = [bytes(content) for content in _list(reply, "contents")]
        header = {name: _list(reply, name) for name in ("devices", "declined", "milliseconds")}
        link.send_bytes(documents.line({ANSWER: header}).encode())
        for content in contents:
            link.send_bytes(content)
    link.send_bytes(documents.line({ANSWER: None}).encode())


def _replies(grid: Grid, messages: Iterable[Message], timeout: float) -> Iterator[Message]:
    """Replies without an error, as they come; nodes that are gone or too slow send none."""
    waiting, until = set(grid.push_messages(list(messages))), time.monotonic() + timeout
    while waiting and time.monotonic() < until:
        for reply in grid.pull_messages(waiting):
            waiting.discard(reply.metadata.reply_to_message_id)
            if not reply.has_error():
                yield reply
        time.sleep(_POLL)


def _message(node: int, values: dict[str, Any], ttl: float) -> Message:
    return Message(RecordDict({"round": ConfigRecord(values)}), node, "train", ttl=ttl)


def _list(reply: Message, name: str) -> list[Any]:
    found = reply.content.config_records["answer"].get(name, [])
    return list(found) if isinstance(found, list) else []
