# SPDX-License-Identifier: Apache-2.0
"""Engine ``flower``: the rounds of `pocketrec federate` through a SuperLink and SuperNodes of Flower 1.42.

Only `server_app`, `client_app` and `engine` import flwr. The rounds themselves stay where they are
(`pocketrec.cloud.federated.rounds`): the ServerApp hands bytes on, and decides nothing.
"""
