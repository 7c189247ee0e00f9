# SPDX-License-Identifier: Apache-2.0
"""Errors that a user can cause or correct.

Every message is one line and ends with what to do. The command line prints it after ``error:`` and exits with
status 2; a Python caller catches `PocketRecError` or one of its kinds. Defined in the device package because it
is the smallest thing deployed; `pocketrec.cloud` and `pocketrec.export` import it from here.
"""


class PocketRecError(Exception):
    """Base of all errors below. `str(error)` is one line that ends with what to do."""


class ConfigError(PocketRecError):
    """A configuration file or an option is wrong."""


class DataError(PocketRecError):
    """An interaction log is missing, unreadable, or not in the promised form."""


class BundleError(PocketRecError):
    """A bundle is missing, incomplete, altered, or of a format that this version does not read."""


class StateError(PocketRecError):
    """A personal state file is damaged or belongs to another model."""


class StoreError(PocketRecError):
    """An event store is damaged, in use, encrypted, or not a store."""


class FetchError(PocketRecError):
    """A bundle could not be fetched, or what was fetched is not to be trusted."""


class FederatedError(PocketRecError):
    """A device does not take part in a round of federated training, or what it sent cannot be used."""


class RemoteError(PocketRecError):
    """Another machine cannot be reached, or lacks what the work takes."""


class RuntimeMissingError(PocketRecError):
    """No usable TensorFlow Lite runtime is installed."""


class ExportError(PocketRecError):
    """The export gate refused to publish a model."""


class StorageError(PocketRecError):
    """A file could not be written (full disk, no permission)."""


class AndroidError(PocketRecError):
    """An Android device, adb, or the app on the device did not do what was asked."""
