# SPDX-License-Identifier: Apache-2.0
"""Ways to personalise: which tensors a device trains, and what is put beside the model's layers for it.

A new way is a class that follows `pocketrec.cloud.ways.way.Way`, one line in `WAYS`
(`pocketrec.cloud.config.personalise`; in `DEVICE_WAYS` alone where it trains none of the layers), one subclass of
`WayContract` in the tests and a row in docs/personalisation.md.
No TensorFlow here: whoever asks what a way trains need not wait for it.
"""
