// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.BundleException;
import pocketrec.core.ConfigException;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;
import pocketrec.core.Table;

import java.io.File;
import java.io.FileNotFoundException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;

/**
 * pin.json: which of a publisher's keys a folder of versions trusts, and the largest release taken
 * under each. The rules of device/delivery/pins.py.
 */
final class Pin {
    static final String FILE = "pin.json";

    /** In place of a key: none is pinned, and releases that are not signed are taken. */
    static final String NONE = "none";

    static final Pin EMPTY =
            new Pin("", list(), 0, list(), Collections.<String, Long>emptyMap(), 0, 0);

    private static final String HOW =
            ": give the address and the publisher's key, or the key `none` where releases are not"
                    + " signed";

    final String named; // key that a person gave; "" = none
    final List<String> keys; // trusted now
    final long keyed; // serial of the release that named them; 0 = a person did
    final List<String> revoked; // never trusted again
    final Map<String, Long> serials; // by key, the largest serial that was installed
    final long clock; // latest time at which a release that was seen had been published
    final long expires; // when the release that was seen last expires; 0 = never

    private Pin(
            String named,
            List<String> keys,
            long keyed,
            List<String> revoked,
            Map<String, Long> serials,
            long clock,
            long expires) {
        this.named = named;
        this.keys = keys;
        this.keyed = keyed;
        this.revoked = revoked;
        this.serials = serials;
        this.clock = clock;
        this.expires = expires;
    }

    private static List<String> list() {
        return Collections.emptyList();
    }

    /** Largest serial that was installed under the keys that are trusted now. */
    long serial() {
        long largest = 0;
        for (String key : keys) {
            largest = Math.max(largest, serials.getOrDefault(key, 0L));
        }
        return largest;
    }

    /**
     * The pin after a person gave a key, or {@link #NONE}.
     *
     * @throws ConfigException a release has revoked the key
     */
    Pin given(String key) throws ConfigException {
        if (key.equals(NONE)) {
            return keys.isEmpty() ? this : new Pin("", list(), 0, revoked, serials, 0, 0);
        }
        if (key.equals(named) || keys.contains(key)) {
            return this;
        }
        if (revoked.contains(key)) {
            throw new ConfigException(
                    "the key "
                            + key
                            + " was revoked by its publisher: give the one that is used now");
        }
        return new Pin(key, Collections.singletonList(key), 0, revoked, serials, 0, 0);
    }

    /** The pin after a release named these keys; null where all of them were revoked before. */
    Pin adopted(List<String> named, long serial) {
        List<String> left = new ArrayList<>(new LinkedHashSet<>(named));
        left.removeAll(revoked);
        if (left.isEmpty()) {
            return null;
        }
        List<String> gone = new ArrayList<>(revoked);
        for (String key : keys) {
            if (!left.contains(key)) {
                gone.add(key);
            }
        }
        Map<String, Long> known = new LinkedHashMap<>(serials);
        for (String key : left) {
            known.put(key, Math.max(serial(), serials.getOrDefault(key, 0L)));
        }
        return new Pin(this.named, left, serial, gone, known, clock, expires);
    }

    /** The pin after a release of that serial was installed. */
    Pin taken(long serial) {
        Map<String, Long> known = new LinkedHashMap<>(serials);
        for (String key : keys) {
            known.put(key, serial);
        }
        return new Pin(named, keys, keyed, revoked, known, clock, expires);
    }

    /** The pin after a release was seen. */
    Pin seen(Release release) {
        long latest = Math.max(clock, release.published);
        return new Pin(named, keys, keyed, revoked, serials, latest, release.expires);
    }

    /**
     * Replaces pin.json in one step.
     *
     * @throws StorageException it cannot be written, and is as it was
     */
    void write(File folder) throws StorageException {
        File file = new File(folder, FILE);
        Storage.sweep(file, 3_600_000);
        Storage.writeAtomic(file, Json.document(table()), null);
    }

    private Map<String, Object> table() {
        Map<String, Object> table = new LinkedHashMap<>();
        table.put("named", named);
        table.put("keys", keys);
        table.put("keyed", keyed);
        table.put("revoked", revoked);
        table.put("serials", serials);
        table.put("clock", clock);
        table.put("expires", expires);
        return table;
    }

    @Override
    public boolean equals(Object other) {
        return other instanceof Pin && table().equals(((Pin) other).table());
    }

    @Override
    public int hashCode() {
        return table().hashCode();
    }

    /**
     * The content of pin.json, with what current.json adds to it.
     *
     * @param current content of current.json; null where that is lost, damaged, or never was
     * @throws BundleException it is damaged or cannot be read, or it is lost and current.json with
     *     it
     */
    static Pin read(File folder, Current current) throws BundleException {
        File file = new File(folder, FILE);
        Pin pin;
        try {
            pin = parse(Storage.read(file));
        } catch (FileNotFoundException | NoSuchFileException error) {
            if (current == null && new File(folder, Versions.VERSIONS).exists()) {
                throw new BundleException(
                        folder
                                + " holds versions, and neither current.json nor "
                                + FILE
                                + " is there to tell which key is pinned"
                                + HOW);
            }
            pin = EMPTY;
        } catch (IOException error) {
            throw new BundleException(
                    file + " cannot be read (" + Storage.reason(error) + ")" + HOW, error);
        } catch (JsonException error) {
            throw new BundleException(file + " is damaged (" + error.getMessage() + ")" + HOW);
        }
        return current == null ? pin : pin.carried(current);
    }

    /** The pin with the key and serial that current.json has. */
    Pin carried(Current current) {
        Pin pin = this;
        String key = current.key;
        if (keys.isEmpty() && key.matches("[0-9a-f]{64}") && !revoked.contains(key)) {
            List<String> one = Collections.singletonList(key);
            pin = new Pin(key, one, 0, revoked, serials, clock, expires);
        }
        boolean more = pin.keys.contains(key) && current.serial > pin.serial();
        return more ? pin.taken(current.serial) : pin;
    }

    private static Pin parse(byte[] content) throws JsonException {
        Table table = Table.of(Json.parse(content), "it");
        String named = table.text("named", "");
        if (!named.isEmpty()) {
            checkKey(named, "named");
        }
        List<String> keys = keys(table, "keys");
        Map<String, Long> serials = new LinkedHashMap<>();
        Table told = table.table("serials");
        for (String key : told.names()) {
            checkKey(key, "a key of serials");
            serials.put(key, told.wholeLong(key, 0));
        }
        if (named.isEmpty() != keys.isEmpty()) {
            throw new JsonException("its keys do not fit");
        }
        return new Pin(
                named,
                keys,
                count(table, "keyed"),
                keys(table, "revoked"),
                serials,
                count(table, "clock"),
                count(table, "expires"));
    }

    private static long count(Table table, String name) throws JsonException {
        return table.has(name) ? table.wholeLong(name, 0) : 0;
    }

    private static List<String> keys(Table table, String name) throws JsonException {
        List<String> keys = new ArrayList<>();
        for (Object key : table.list(name)) {
            checkKey(key, name);
            keys.add((String) key);
        }
        return Collections.unmodifiableList(keys);
    }

    private static void checkKey(Object key, String name) throws JsonException {
        if (!(key instanceof String) || !((String) key).matches("[0-9a-f]{64}")) {
            throw new JsonException(name + " must be 64 hexadecimal digits");
        }
    }
}
