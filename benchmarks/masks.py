# SPDX-License-Identifier: Apache-2.0
"""What masks cost: a masked round of devices and server on one thread, with and without dropouts.

    python benchmarks/masks.py [--devices 120] [--values 212224]

Numbers are random int8. `device` is the processor time of one member for all of its steps, `server` that of taking the
masks off; both are also told as ratios to the time of one ChaCha20 stream of the update's length, measured
in the same run. Bytes are what one member sends. Sums are compared with the plain ones. The last line is JSON.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import numpy as np

from pocketrec.cloud.federated.unmask import Unmasking
from pocketrec.device.federated.mask import Member, word_of
from pocketrec.device.federated.mask_keys import stream


def main() -> None:
    """Run it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--devices", type=int, default=120, help="devices of the round (default: 120)")
    parser.add_argument("--values", type=int, default=212_224, help="numbers of an update (default: 212,224)")
    args = parser.parse_args()
    unit = _unit(args.values, word_of(args.devices, 127))
    found = [measure(args.devices, args.values, share, unit) for share in (0.0, 0.4)]
    print(f"{'dropouts':>9}{'word':>6}{'kB up':>9}{'of them keys':>14}{'device ms':>11}{'server s':>10}{'exact':>7}")
    for one in found:
        print(f"{one['dropouts']:>9}{one['word']:>6}{one['bytes_up'] / 1e3:>9.1f}{one['bytes_keys'] / 1e3:>14.1f}"
              f"{one['device_ms']:>11.0f}{one['server_ms'] / 1e3:>10.2f}{one['exact']!s:>7}")  # fmt: skip
    print(json.dumps({"stream_ms": unit, "rounds": found}))


def measure(devices: int, values: int, share: float, unit: float) -> dict[str, Any]:
    """One round, in which so many of the devices drop out after the keys were exchanged."""
    word, rng = word_of(devices, 127), np.random.default_rng(1)
    numbers = rng.integers(-127, 128, (devices, values)).astype(np.int8)
    dropped = set(range(1, 1 + int(share * devices)))
    server, members = Unmasking("bench", values, word), [Member("bench") for _ in range(devices)]
    started, keys = time.process_time(), 0
    for member in members:
        server.add_keys(member.advertise())
    for number, member in enumerate(members, 1):
        sealed = member.share(number, server.directory)
        keys = sum(map(len, sealed.values()))
        server.add_shares(number, sealed)
    left = [(number, member) for number, member in enumerate(members, 1) if number not in dropped]
    for number, member in left:
        server.add_masked(number, member.masked(server.shares_for(number), numbers[number - 1], word))
    survivors = server.close()
    for number, member in left:
        server.add_consent(number, member.consent(survivors))
    for number, member in left:
        server.add_unmasking(number, member.unmask({}))
    middle = time.process_time()
    total = server.total()
    done = time.process_time()
    plain = numbers[np.array(survivors) - 1].sum(axis=0, dtype=np.int64)
    device_ms, server_ms = 1e3 * (middle - started) / len(left), 1e3 * (done - middle)
    keys += 64 + 33 * devices
    return {
        "devices": devices, "dropouts": len(dropped), "word": word, "bytes_up": values * word // 8 + keys,
        "bytes_keys": keys, "device_ms": round(device_ms, 1), "device_streams": round(device_ms / unit, 1),
        "server_ms": round(server_ms, 1), "server_streams": round(server_ms / unit, 1),
        "exact": bool((total == plain).all()),
    }  # fmt: skip


def _unit(values: int, word: int) -> float:
    """Milliseconds of one stream."""
    stream(bytes(32), values, word)
    started = time.process_time()
    for _ in range(20):
        stream(bytes(32), values, word)
    return round((time.process_time() - started) * 1e3 / 20, 4)


if __name__ == "__main__":
    main()
