# SPDX-License-Identifier: Apache-2.0
"""Fetching a published bundle into a folder of versions, and switching to it in one step.

latest.json first, checked against the pinned keys; then the manifest that it names; then every file of the manifest
that is not here already, and of the candidates only the users' own shards: the server learns the number of a shard,
which 256 users or more share on average, and never a user. Each file is checked against its SHA-256, the whole bundle
is opened, and only then do pin.json and current.json, in this order, name the new version. Nothing here is called by
personal training or recommending.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pocketrec.device.base.errors import BundleError, ConfigError, FetchError
from pocketrec.device.contract.names import MANIFEST_FILE
from pocketrec.device.delivery.assemble import Limits, Work, complete, shards_of
from pocketrec.device.delivery.bundle import Bundle, open_bundle
from pocketrec.device.delivery.pins import NONE, PIN, Pin, carried, read_pin
from pocketrec.device.delivery.release import LATEST, Release, for_users
from pocketrec.device.delivery.signing import need_cryptography, read_public
from pocketrec.device.delivery.tasks import Shop, fetch_patches
from pocketrec.device.delivery.trust import check_serial, is_expired, trusted
from pocketrec.device.delivery.urls import is_address, shown, split_login
from pocketrec.device.delivery.versions import (
    COPY,
    CURRENT,
    Current,
    collect,
    held_shards,
    locked,
    read_current,
    version_folder,
    version_name,
)

if TYPE_CHECKING:
    from pocketrec.device.delivery.fetch import Fetcher, Patience, Source


@dataclass(frozen=True)
class Pulled:
    """What `pull` did."""

    folder: Path
    """The bundle in use."""
    serial: int
    """Number of the release that the device has."""
    new: bool
    """Whether the device switched to another version."""
    received: int
    """Bytes of the answers' bodies."""
    reason: str
    """In a few words."""
    notes: tuple[str, ...] = ()
    """What somebody should look at, one line each."""


def pull(
    url: str,
    folder: str | Path,
    *,
    users: Iterable[str] = (),
    key: str | Path | None = None,
    limits: Limits | None = None,
    patience: Patience | None = None,
    older: bool = False,
    source: Source | None = None,
) -> Pulled:
    """Bring the latest published bundle into a folder of versions. Name that folder wherever a bundle is named.

    Args:
        url: address of the folder that `publish` wrote, http or https, with ``user:password@`` where the server asks
            for them; "" = the one that was pulled from before.
        folder: the folder of versions; made where it is missing.
        users: whose candidates are wanted, besides those named before.
        key: public key to pin, from now on too; "none" = releases that are not signed are taken from now on; None =
            what was pinned before, if anything.
        limits: what a manifest may ask for.
        patience: how long the server is waited for.
        older: take a release with a smaller number than one that was installed before, or that was rolled back from,
            or that has expired.
        source: the application's own HTTP (`pocketrec.device.delivery.fetch.Source`); None = the standard library's.

    Raises:
        FetchError: the server cannot be reached, or what it offers is not to be trusted, or too large.
        BundleError: what was fetched is not a bundle that this version reads; or what tells which key is pinned is
            damaged or lost, and `key` is not given.
        StorageError: the disk is full, or the folder cannot be written.
        ConfigError: the address or the key is wrong, or the extra ``secure`` is not installed.
    Whatever is raised, the version in use is as it was.
    """
    from pocketrec.device.delivery.fetch import Fetcher

    folder = Path(folder)
    if (folder / MANIFEST_FILE).exists():
        raise ConfigError(f"{folder} is a bundle itself: name another folder with --to")
    with locked(folder):
        known, held = _known(folder, url, key)
        pin = held if key is None else held.given(NONE if str(key) == NONE else read_public(key))
        if pin.keys:
            need_cryptography()
        wanted = _settled(known, url, users)
        if pin != held or wanted.users != known.users:
            wanted.etag = ""
        address, login = split_login(wanted.url)
        base = address.rstrip("/") + "/"
        fetcher = Fetcher(patience, source=source, login=login)
        return _Update(folder, known, wanted, held, pin, base, fetcher).run(limits or Limits(), older)


def rollback(folder: str | Path) -> Path:
    """Go back to the version before the one in use, which is then not installed again; gives the folder of the bundle.

    Raises:
        BundleError: it does not exist, or it is damaged.
        StorageError: current.json cannot be written.
    """
    folder = Path(folder)
    if not any((folder / name).exists() for name in (CURRENT, COPY)):
        raise BundleError(f"no bundle was pulled into {folder}: name the folder of --to")
    with locked(folder):
        current = read_current(folder) or Current()
        if not current.previous:
            raise BundleError(f"{folder} holds no version before the one in use: pull another release")
        bundle = open_bundle(version_folder(folder, current.previous))
        swapped = replace(current, current=current.previous, previous=current.current, etag="")
        swapped.refused = "" if current.refused == current.previous else current.current
        swapped.write(folder)
        return bundle.folder


@dataclass
class _Update:
    """One pull, once all that was asked for is settled."""

    folder: Path
    known: Current  # as it stands in current.json
    wanted: Current  # as it will
    held: Pin  # as it stands in pin.json
    pin: Pin  # as it will
    base: str
    fetcher: Fetcher
    notes: list[str] = field(default_factory=list)

    def run(self, limits: Limits, older: bool) -> Pulled:
        wanted, base = self.wanted, self.base
        if not self.pin.keys and base.lower().startswith("http:"):
            self.notes.append(f"{base} is asked over plain http and no key is pinned, so whoever is between can put "
                              "another model in its place: use https, or pin the publisher's key with --key")
        bundle = _usable(self.folder, wanted.current)
        whole = bundle is not None and _has_shards(bundle, wanted.users)
        content, etag = self.fetcher.small(base + LATEST, limits.latest, wanted.etag if whole and not older else "")
        if content is None and bundle is not None:
            self._note_expiry(wanted.serial)
            return self._unchanged("nothing new")
        offered = Release.from_bytes(content or b"", base + LATEST)
        pin = trusted(offered, self.pin, base, self.fetcher)
        known = pin.serial if pin.keys else wanted.serial
        if not older:
            check_serial(offered, known, pin, base)
        self.pin = pin
        if pin.keys and (pin.keys, pin.revoked) != (self.held.keys, self.held.revoked):
            pin.write(self.folder)  # which keys are trusted stays known, whatever comes of the rest
            self.held = pin
        release = for_users(offered, wanted.users)
        if release.serial < known and bundle is None:  # the former release is older than what was here, and is gone
            release = offered
        name = version_name(release.manifest)
        if reason := None if older else self._left_aside(release, name, known, bundle):
            return self._unchanged(reason)
        wanted.etag = etag
        if name == wanted.current and whole:
            self._note_expiry(release.serial)
            return self._unchanged("nothing new", release.serial)
        versions = [other for other in (wanted.current, wanted.previous) if other not in ("", name)]
        complete(Work(self.folder, base, self.fetcher, limits, versions), release, wanted.users, self._begin)
        self._patches(name, older)
        return self._switched(release, name, bundle)

    def _patches(self, name: str, older: bool) -> None:
        """Have the patches of the tasks that are wanted, before the version is in use; what is not offered is noted."""
        if self.wanted.tasks:
            shop = Shop(self.folder, self.base, self.fetcher, self.pin.keys, older)
            bundle = open_bundle(version_folder(self.folder, name))
            self.notes += fetch_patches(shop, bundle, self.wanted.tasks)[1]

    def _left_aside(self, release: Release, name: str, known: int, bundle: Bundle | None) -> str:
        """Why a release that may be trusted is not taken; "" where it is.

        Raises:
            FetchError: it is not, and nothing else is here.
        """
        self.wanted.etag = ""
        if release.serial < known:  # the former release of a staged one that this device had already
            return "the latest release is for other devices yet"
        if name == self.wanted.refused:
            return "the latest release was rolled back from"
        if name != self.wanted.current and is_expired(release.expires, self.pin.clock):
            told = f"release {release.serial} of {self.base} has expired"
            if bundle is None:
                raise FetchError(f"{told}: ask the publisher for a newer one, or pass --allow-older")
            self.notes.append(f"{told} and is not installed: ask the publisher for a newer one")
            return "the latest release has expired"
        return ""

    def _begin(self) -> None:
        """Write pin.json before there is a version: it tells what was pinned where current.json is lost."""
        if not (self.folder / PIN).exists():
            self.held.write(self.folder)

    def _switched(self, release: Release, name: str, bundle: Bundle | None) -> Pulled:
        wanted, new = self.wanted, name != self.known.current
        wanted.serial = release.serial
        if new:
            wanted.current, wanted.previous = name, self.known.current if bundle is not None else self.known.previous
            wanted.previous = "" if wanted.previous == name else wanted.previous
            wanted.refused = ""
        self._write(release.serial)
        collect(self.folder, wanted)
        reason = "a new version is in use" if new else "what was missing is here"
        return self._told(new, reason)

    def _unchanged(self, reason: str, serial: int | None = None) -> Pulled:
        if serial is not None:
            self.wanted.serial = serial
        self._write(serial)
        return self._told(False, reason)

    def _write(self, serial: int | None) -> None:
        """Write what has changed: the pin first, so that no older release is taken if this is where it ends."""
        pin, folder = self.pin if serial is None else self.pin.taken(serial), self.folder
        if pin != self.held or not (folder / PIN).exists():
            pin.write(folder)
        self.wanted.key = pin.keys[-1] if pin.keys else ""
        if self.wanted != self.known or not all((folder / name).exists() for name in (CURRENT, COPY)):
            self.wanted.write(folder)

    def _told(self, new: bool, reason: str) -> Pulled:
        place, wanted = version_folder(self.folder, self.wanted.current), self.wanted
        return Pulled(place, wanted.serial, new, self.fetcher.received, reason, tuple(self.notes))

    def _note_expiry(self, serial: int) -> None:
        if is_expired(self.pin.expires, self.pin.clock):
            self.notes.append(f"release {serial}, which is in use, has expired, and {self.base} offers no newer one: "
                              "ask the publisher")  # fmt: skip


def _known(folder: Path, url: str, key: str | Path | None) -> tuple[Current, Pin]:
    """What current.json and pin.json tell.

    Raises:
        BundleError: current.json is damaged and no address is given, or the pin is damaged or lost and no key is.
    """
    current: Current | None = None
    try:
        current = read_current(folder)
    except BundleError:
        if not url:
            raise
    try:
        pin = read_pin(folder, current)
    except BundleError:
        if key is None:
            raise
        pin = carried(Pin(), current or Current())
    return current or Current(), pin


def _settled(known: Current, url: str, users: Iterable[str]) -> Current:
    """What was known and what is asked for now, together."""
    wanted = replace(known, users=list(dict.fromkeys([*known.users, *users])))
    url = url.strip() or known.url
    if not url:
        raise ConfigError("nothing was pulled into this folder before: name the address")
    if not is_address(url) or {"?", "#"} & set(url):
        raise ConfigError(f"{shown(url)} is not an address: name one such as https://example.org/bundle")
    if split_login(url)[0].rstrip("/") != (split_login(known.url)[0].rstrip("/") if known.url else ""):
        wanted.etag, wanted.serial = "", 0  # a number of another address means nothing, where no key is pinned
    if url.rstrip("/") != known.url.rstrip("/"):
        wanted.url = url
    return wanted


def _usable(folder: Path, name: str) -> Bundle | None:
    """The version, where it is whole."""
    if not name:
        return None
    with contextlib.suppress(BundleError):
        return open_bundle(version_folder(folder, name))
    return None


def _has_shards(bundle: Bundle, users: Iterable[str]) -> bool:
    """Whether the shards of all the users are here."""
    held = held_shards(bundle.folder)
    return held is None or shards_of(bundle.manifest, users) <= held
