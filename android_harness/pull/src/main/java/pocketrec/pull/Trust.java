// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;
import pocketrec.core.PocketRecException;

/**
 * Whether a release may be taken: its signature under the pinned keys, the keys that it names, its
 * number, its expiry. The rules of device/delivery/trust.py.
 */
final class Trust {
    private static final int STEPS = 64; // changes of keys that are followed at one pull
    private static final int LIMIT = 1 << 14; // bytes of a rotation

    private Trust() {}

    /**
     * The pin after a release that was seen: with the keys that it names, where a pinned key has
     * signed it.
     *
     * @param base address of the publisher's folder, with / at its end
     * @throws FetchException no pinned key has signed it, nor one that a chain of rotations leads
     *     to
     */
    static Pin trusted(Release release, Pin pin, String base, Fetcher fetcher)
            throws PocketRecException {
        String place = base + Release.LATEST;
        if (!pin.keys.isEmpty()) {
            if (release.signatures.isEmpty()) {
                throw new FetchException(
                        place
                                + " is not signed, and a key is pinned: ask the publisher to sign"
                                + " it");
            }
            int steps = 0;
            while (!isSignedByAny(release, pin)) {
                if (steps++ == STEPS) {
                    throw new FetchException(
                            base
                                    + " leads through more than "
                                    + STEPS
                                    + " changes of keys: ask the publisher");
                }
                pin = next(pin, base, fetcher);
            }
            if (!release.keys.isEmpty() && release.serial > pin.keyed) {
                pin = adopted(pin, release, place);
            }
        }
        return pin.seen(release);
    }

    /**
     * Refuses a release that is older than one that was installed, or than one that has changed the
     * keys.
     */
    static void checkSerial(Release release, long known, Pin pin, String base)
            throws FetchException {
        long least = Math.max(known, pin.keys.isEmpty() ? 0 : pin.keyed);
        if (release.serial < least) {
            throw new FetchException(
                    base
                            + " offers release "
                            + release.serial
                            + ", and "
                            + least
                            + " was installed before: ask the publisher, or allow older ones");
        }
    }

    /**
     * Whether a release has expired by this device's clock.
     *
     * @param expires Unix seconds; 0 = never
     * @param clock when the newest release that was seen had been published; a device whose clock
     *     is before that has none that counts
     * @param now this device's clock, Unix seconds
     */
    static boolean isExpired(long expires, long clock, double now) {
        return 0 < expires && expires <= now && now >= clock;
    }

    private static boolean isSignedByAny(Release release, Pin pin) {
        for (String key : pin.keys) {
            if (release.isSignedBy(key)) {
                return true;
            }
        }
        return false;
    }

    /** The pin after the rotation that one of its keys has signed. */
    private static Pin next(Pin pin, String base, Fetcher fetcher) throws PocketRecException {
        for (String key : pin.keys) {
            String place = base + "rotations/" + key + ".json";
            byte[] content;
            try {
                content = fetcher.small(place, LIMIT, "").content;
            } catch (AbsentException error) {
                continue;
            }
            Release rotation = Release.parse(content, place);
            if (!rotation.keys.isEmpty()
                    && rotation.serial > pin.keyed
                    && rotation.isSignedBy(key)) {
                return adopted(pin, rotation, place);
            }
        }
        throw new FetchException(
                base
                        + Release.LATEST
                        + " is not signed with the pinned key, or was altered, and no release leads"
                        + " from that key to another: do not use it, and ask the publisher");
    }

    private static Pin adopted(Pin pin, Release release, String place) throws FetchException {
        Pin adopted = pin.adopted(release.keys, release.serial);
        if (adopted == null) {
            throw new FetchException(
                    place
                            + " is not to be trusted (all keys that it names were revoked before):"
                            + " ask the publisher for the key that is used now, and give it");
        }
        return adopted;
    }
}
