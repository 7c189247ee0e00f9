# SPDX-License-Identifier: Apache-2.0
"""The subcommand join: this device takes part in a federated training; mounted by `pocketrec.cli`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pocketrec.device.base.errors import DataError
from pocketrec.device.cli.command import Command
from pocketrec.device.cli.options import (
    common_options,
    key_of,
    print_json,
    print_table,
    runtime_options,
    state_path,
    store_options,
    store_path,
)

if TYPE_CHECKING:
    import argparse

    from pocketrec.device.federated.joining import Device


def add_join(parser: argparse.ArgumentParser) -> None:
    """Arguments of `pocketrec join`."""
    parser.description = (
        "Take part in the federated training of a server (`pocketrec federate --serve`): says first what will be\n"
        "sent, then sends one update in each round for which this device is chosen, made of the events in its\n"
        "store, none of which leaves it. Works only while the machine is idle, on mains and not on a metered network;\n"
        "else one line says why, and the exit status is 75. Ends with the training. The last line is JSON."
    )
    parser.add_argument("server", metavar="HOST:PORT", help="the server")
    common_options(parser)
    store_options(parser)
    parser.add_argument("--root-certificates", type=Path, metavar="PEM", help="authorities to trust (default: the "
                        "system's); without them a server on this machine is asked without TLS")  # fmt: skip
    parser.add_argument("--node-key", type=Path, metavar="FILE", help="private Ed25519 key that signs requests, where "
                        "the server knows its nodes; see `pocketrec publish --make-key`")  # fmt: skip
    parser.add_argument("--once", action="store_true", help="leave after one round")
    parser.add_argument("--dry-run", type=Path, metavar="FILE", help="write an update to a file, and send nothing "
                        "of it")  # fmt: skip
    parser.add_argument("--leave", action="store_true", help="take no part any more; what was sent is not taken back")
    parser.add_argument("--busy-too", action="store_true", help="work on a busy machine, on battery and on a metered "
                        "network too")  # fmt: skip
    runtime_options(parser)


def run_join(args: argparse.Namespace) -> int:
    """`pocketrec join`; 0, 75 where the machine has other things to do, or a `PocketRecError`."""
    from pocketrec.device.delivery.signing import read_private
    from pocketrec.device.federated.coordinator import Coordinator
    from pocketrec.device.federated.joining import Joined, NotNowError
    from pocketrec.device.personal.idle import BUSY

    if not (args.leave or args.busy_too or args.dry_run) and (why := _not_now()):
        return _busy(why, BUSY)
    key = None if args.node_key is None else read_private(args.node_key)
    server = Coordinator(args.server, "", args.root_certificates, key)
    joined = Joined(server, _device(args))
    told: dict[str, Any] = {"server": args.server, "training": joined.training["training"]}
    if args.leave:
        joined.leave()
        print("this device takes no part any more; what it has sent is not taken back")
        print_json({**told, "left": True})
        return 0
    print("\n".join(joined.words()), flush=True)
    if args.dry_run is not None:
        made = joined.dry_run(args.dry_run)
        sizes = {name: int(value.size) for name, value in made.update.numbers.items()}
        print_table([*((name, f"{size:,} numbers") for name, size in sizes.items()), ("written", str(args.dry_run))])
        print_json({**told, "file": str(args.dry_run), "bytes": args.dry_run.stat().st_size, "numbers": sizes})
        return 0
    try:
        rounds = joined.take_part((lambda: "") if args.busy_too else _not_now, lambda line: print(line, flush=True),
                                  once=args.once)  # fmt: skip
    except NotNowError as error:
        return _busy(str(error), BUSY)
    print(f"done: {rounds} rounds")
    print_json({**told, "rounds": rounds})
    return 0


def _busy(why: str, status: int) -> int:
    print(f"not now: {why}")
    print_json({"busy": why})
    return status


def _not_now() -> str:
    """Why this machine should not work now; "" = it may."""
    from pocketrec.device.federated.network import is_metered
    from pocketrec.device.personal.idle import Idle

    return Idle().reason() or ("the network is metered" if is_metered() else "")


def _device(args: argparse.Namespace) -> Device:
    """The events and the model of this device."""
    from pocketrec.device.delivery.bundle import open_bundle
    from pocketrec.device.federated.joining import Device
    from pocketrec.device.state.opening import open_session

    state, store = state_path(args), store_path(args)
    if not (state.exists() or (store is not None and store.exists())):
        raise DataError("there are no events to learn from: record some with `pocketrec record`, or name --store")
    bundle = open_bundle(args.bundle)
    session = open_session(bundle, args.user, state, store, key_of(args), lambda opened: opened.load_model())
    try:
        rows, since, model = session.events[0], session.since, session.bundle.manifest.model_id
    finally:
        session.close()
    return Device(rows, since, model, state.with_suffix(".federated"), args.runtime)


COMMANDS: Final[dict[str, Command]] = {
    "join": Command("take part in a federated training; no event leaves this device", add_join, run_join),
}
