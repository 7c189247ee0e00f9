// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.Shards;
import pocketrec.core.Bundle;
import pocketrec.core.BundleException;
import pocketrec.core.FetchException;
import pocketrec.core.PocketRecException;
import pocketrec.core.StorageException;

import java.io.File;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Set;

/** One pull, once all that was asked for is settled. */
final class Update {
    private final File folder;
    private final Current known; // as it stands in current.json
    private final Current wanted; // as it will
    private Pin held; // as it stands in pin.json
    private Pin pin; // as it will
    private final String base;
    private final Fetcher fetcher;
    private final List<String> notes = new ArrayList<>();

    Update(
            File folder,
            Current known,
            Current wanted,
            Pin held,
            Pin pin,
            String base,
            Fetcher fetcher) {
        this.folder = folder;
        this.known = known;
        this.wanted = wanted;
        this.held = held;
        this.pin = pin;
        this.base = base;
        this.fetcher = fetcher;
    }

    Pulled run(PullOptions options) throws PocketRecException {
        if (pin.keys.isEmpty() && base.toLowerCase(Locale.ROOT).startsWith("http:")) {
            notes.add(
                    base
                            + " is asked over plain http and no key is pinned, so whoever is"
                            + " between can put another model in its place: use https, or pin the"
                            + " publisher's key");
        }
        double now = options.now();
        Bundle bundle = usable(wanted.current);
        boolean whole = bundle != null && hasShards(bundle, wanted.users);
        boolean ask = whole && !options.older();
        Fetcher.Small latest =
                fetcher.small(base + Release.LATEST, Limits.LATEST, ask ? wanted.etag : "");
        if (latest.content == null && bundle != null) {
            noteExpiry(wanted.serial, now);
            return unchanged("nothing new", null);
        }
        byte[] content = latest.content == null ? new byte[0] : latest.content;
        Release offered = Release.parse(content, base + Release.LATEST);
        Pin trusted = Trust.trusted(offered, pin, base, fetcher);
        long before = trusted.keys.isEmpty() ? wanted.serial : trusted.serial();
        if (!options.older()) {
            Trust.checkSerial(offered, before, trusted, base);
        }
        pin = trusted;
        if (!pin.keys.isEmpty()
                && !(pin.keys.equals(held.keys) && pin.revoked.equals(held.revoked))) {
            pin.write(folder); // which keys are trusted stays known, whatever comes of the rest
            held = pin;
        }
        Release release = offered.forUsers(wanted.users);
        if (release.serial < before && bundle == null) {
            release = offered; // the former release is older than what was here, and is gone
        }
        String name = Versions.name(release.manifest);
        String reason = options.older() ? "" : leftAside(release, name, before, bundle, now);
        if (!reason.isEmpty()) {
            return unchanged(reason, null);
        }
        wanted.etag = latest.etag;
        if (name.equals(wanted.current) && whole) {
            noteExpiry(release.serial, now);
            return unchanged("nothing new", release.serial);
        }
        List<String> versions = new ArrayList<>();
        for (String other : new String[] {wanted.current, wanted.previous}) {
            if (!other.isEmpty() && !other.equals(name)) {
                versions.add(other);
            }
        }
        new Assemble(folder, base, fetcher, options.limits(), versions)
                .complete(release, wanted.users, this::begin);
        if (!wanted.tasks.isEmpty()) {
            Tasks tasks = new Tasks(folder, base, fetcher, pin.keys, options.older());
            tasks.fetch(Bundle.open(Versions.folder(folder, name)), wanted.tasks, notes);
        }
        return switched(release, name, bundle);
    }

    /** Why a release that may be trusted is not taken; "" where it is. */
    private String leftAside(Release release, String name, long before, Bundle bundle, double now)
            throws FetchException {
        wanted.etag = "";
        if (release.serial < before) { // the former one, which this device had already
            return "the latest release is for other devices yet";
        }
        if (name.equals(wanted.refused)) {
            return "the latest release was rolled back from";
        }
        if (!name.equals(wanted.current) && Trust.isExpired(release.expires, pin.clock, now)) {
            String told = "release " + release.serial + " of " + base + " has expired";
            if (bundle == null) {
                throw new FetchException(
                        told + ": ask the publisher for a newer one, or allow older ones");
            }
            notes.add(told + " and is not installed: ask the publisher for a newer one");
            return "the latest release has expired";
        }
        return "";
    }

    /**
     * Writes pin.json before there is a version: it tells what was pinned where current.json is
     * lost.
     */
    private void begin() throws StorageException {
        if (!new File(folder, Pin.FILE).exists()) {
            held.write(folder);
        }
    }

    private Pulled switched(Release release, String name, Bundle bundle) throws StorageException {
        boolean isNew = !name.equals(known.current);
        wanted.serial = release.serial;
        if (isNew) {
            wanted.current = name;
            wanted.previous = bundle != null ? known.current : known.previous;
            wanted.previous = wanted.previous.equals(name) ? "" : wanted.previous;
            wanted.refused = "";
        }
        write(release.serial);
        Versions.collect(folder, wanted);
        return told(isNew, isNew ? "a new version is in use" : "what was missing is here");
    }

    private Pulled unchanged(String reason, Long serial) throws StorageException {
        if (serial != null) {
            wanted.serial = serial;
        }
        write(serial);
        return told(false, reason);
    }

    /**
     * Writes what has changed: the pin first, so that no older release is taken if this ends here.
     */
    private void write(Long serial) throws StorageException {
        Pin next = serial == null ? pin : pin.taken(serial);
        if (!next.equals(held) || !new File(folder, Pin.FILE).exists()) {
            next.write(folder);
        }
        wanted.key = next.keys.isEmpty() ? "" : next.keys.get(next.keys.size() - 1);
        boolean both =
                new File(folder, Current.FILE).exists() && new File(folder, Current.COPY).exists();
        if (!wanted.same(known) || !both) {
            wanted.write(folder);
        }
    }

    private Pulled told(boolean isNew, String reason) {
        File place = Versions.folder(folder, wanted.current);
        return new Pulled(place, wanted.serial, isNew, fetcher.received(), reason, notes);
    }

    private void noteExpiry(long serial, double now) {
        if (Trust.isExpired(pin.expires, pin.clock, now)) {
            notes.add(
                    "release "
                            + serial
                            + ", which is in use, has expired, and "
                            + base
                            + " offers no newer one: ask the publisher");
        }
    }

    /** The version, where it is whole. */
    private Bundle usable(String name) throws PocketRecException {
        if (name.isEmpty()) {
            return null;
        }
        try {
            return Bundle.open(Versions.folder(folder, name));
        } catch (BundleException error) {
            return null;
        }
    }

    /** Whether the shards of all the users are here. */
    private static boolean hasShards(Bundle bundle, Collection<String> users)
            throws BundleException {
        Set<Long> held = Shards.held(bundle.folder);
        return held == null || held.containsAll(Assemble.shardsOf(bundle.manifest, users));
    }
}
