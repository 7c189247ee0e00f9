// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.Event;
import pocketrec.core.Export;
import pocketrec.core.HistoryStore;
import pocketrec.core.PocketRecException;
import pocketrec.core.Seal;
import pocketrec.core.Storage;
import pocketrec.core.StoreException;

import java.io.Closeable;
import java.io.File;
import java.security.SecureRandom;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * One user's events on the device, in one SQLite file, kept safely over years: the very file of
 * Python's event store, which either side writes and reads.
 *
 * <p>{@link #append} returns when the events are on the disk: a crash or a power cut afterwards
 * loses none of them, and one before it leaves none or all. Several threads and processes may
 * append and read at once. Every event carries a checksum of its own, for SQLite has none. With a
 * key the events are sealed. This class knows nothing about models and training.
 *
 * <p>Every method throws {@link StoreException} where the store is damaged, of a newer version,
 * encrypted, or in use for too long, and {@code StorageException} where it cannot be written.
 */
public final class EventStore extends StoreFile implements HistoryStore, Closeable {
    private static final String INSERT =
            "INSERT INTO events (mark, value) VALUES (?, ?) ON CONFLICT DO NOTHING";
    private static final int PAGE_ROWS = 2000;
    private static final String PAGE =
            "SELECT id, mark, value FROM events WHERE id > ? ORDER BY id LIMIT " + PAGE_ROWS;
    private static final SecureRandom RANDOM = new SecureRandom();

    private EventStore(File path, Database.Opener opener, boolean create, Seal seal) {
        super(path, opener, create, seal);
    }

    /**
     * Opens a store, and makes it with its folder where it is missing, readable by its owner only.
     *
     * @param path the file
     * @param opener what opens SQLite files here
     */
    public static EventStore open(File path, Database.Opener opener) throws PocketRecException {
        return open(path, opener, null);
    }

    /**
     * As the other, with the events sealed by a key (AES-256-GCM): what is seen without it is how
     * many there are, in which order they came, and their lengths in steps of 32 bytes.
     *
     * @param key 32 random bytes, which PocketRec never writes; null = the events lie in the clear
     * @throws StoreException the store is sealed with another key, or not sealed
     * @throws pocketrec.core.ConfigException the key has another length
     */
    public static EventStore open(File path, Database.Opener opener, byte[] key)
            throws PocketRecException {
        return opened(new EventStore(path, opener, true, Seal.of(key)));
    }

    /** As the other; a file that is missing is an error. */
    public static EventStore openExisting(File path, Database.Opener opener)
            throws PocketRecException {
        return openExisting(path, opener, null);
    }

    /** As the other, with a key; null = the events lie in the clear. */
    public static EventStore openExisting(File path, Database.Opener opener, byte[] key)
            throws PocketRecException {
        return opened(new EventStore(path, opener, false, Seal.of(key)));
    }

    /** A new store of the same key. */
    static EventStore beside(File path, Database.Opener opener, Seal seal)
            throws PocketRecException {
        return opened(new EventStore(path, opener, true, seal));
    }

    private static EventStore opened(EventStore store) throws PocketRecException {
        store.reading(database -> null);
        return store;
    }

    /**
     * Stores events; when this returns all of them are on the disk.
     *
     * <p>An event with the item and time of one that is stored is the same event, as often as it is
     * stored, so that appending again after a crash is safe. An event without a time is always new.
     *
     * @return how many were new
     */
    @Override
    public int append(List<Event> events) throws PocketRecException {
        Map<String, Long> seen = new HashMap<>();
        List<Rows> rows = new ArrayList<>();
        for (Event event : events) {
            Object nth;
            if (event.time == null) {
                byte[] random = new byte[8];
                RANDOM.nextBytes(random);
                nth = Storage.hex(random);
            } else {
                nth = seen.merge(event.time + " " + event.item, 1L, Long::sum);
            }
            rows.add(Rows.encode(seal, event, nth));
        }
        return writing(
                database -> {
                    int added = 0;
                    for (Rows row : rows) {
                        added += (int) database.run(INSERT, row.mark, row.value);
                    }
                    trim(database, number(database, "keep"));
                    return added;
                });
    }

    @Override
    public Replayed replay(long after) throws PocketRecException {
        List<Object[]> rows = new ArrayList<>();
        List<Object[]> page;
        long last = after;
        do { // in pages: Android's cursor would read a long answer again from its beginning
            long from = last;
            page = reading(database -> database.query(PAGE, from));
            rows.addAll(page);
            last = page.isEmpty() ? last : (Long) page.get(page.size() - 1)[0];
        } while (page.size() == PAGE_ROWS);
        List<Event> events = new ArrayList<>(rows.size());
        List<Long> ids = new ArrayList<>(rows.size());
        for (Object[] row : rows) {
            events.add(Rows.decode(seal, path, row[1], row[2]));
            ids.add((Long) row[0]);
        }
        return new Replayed(events, ids);
    }

    /** Number of events. */
    public long size() throws PocketRecException {
        return reading(database -> (Long) one(database, "SELECT count(*) FROM events")[0]);
    }

    /**
     * Changes whenever something was forgotten: what was trained on a store of another identity is
     * not to be used. It does not change with new events, nor when old ones went for their age or
     * number.
     */
    @Override
    public String identity() throws PocketRecException {
        return reading(database -> meta(database, "name") + ":" + number(database, "forgotten"));
    }

    /** Most events that are kept. */
    public long keep() throws PocketRecException {
        return reading(database -> number(database, "keep"));
    }

    @Override
    public long dropped() throws PocketRecException {
        return reading(database -> number(database, "dropped"));
    }

    /**
     * Lets old events go by number, now and at every append from now on; those that came first go
     * first, and nothing of them stays in the file.
     *
     * @param events most events kept
     * @return how many went
     * @throws IllegalArgumentException below 1
     */
    public int retainNewest(long events) throws PocketRecException {
        if (events < 1) {
            throw new IllegalArgumentException("at least one event has to be kept, not " + events);
        }
        int gone =
                writing(
                        database -> {
                            database.run("UPDATE meta SET value = ? WHERE key = 'keep'", events);
                            return trim(database, events);
                        });
        if (gone > 0) {
            erase();
        }
        return gone;
    }

    /**
     * Lets events go whose time is below this one; those without a time stay.
     *
     * @param before in the log's unit
     * @return how many went
     */
    public int retainSince(double before) throws PocketRecException {
        List<Long> old = new ArrayList<>();
        Replayed replayed = replay(0);
        for (int place = 0; place < replayed.ids.size(); place++) {
            Double time = replayed.events.get(place).time;
            if (time != null && time < before) {
                old.add(replayed.ids.get(place));
            }
        }
        int gone =
                writing(
                        database -> {
                            int count = delete(database, old);
                            countDropped(database, count);
                            return count;
                        });
        if (gone > 0) {
            erase();
        }
        return gone;
    }

    /**
     * Deletes every event of some items (events without a time), or single events; nothing of them
     * stays in the file. What was trained on them is no longer to be used: {@link #identity}
     * changes.
     *
     * @return how many went
     * @throws StoreException another process reads the file: call again
     */
    @Override
    public int forget(List<Event> events) throws PocketRecException {
        Set<String> items = new HashSet<>();
        Set<String> single = new HashSet<>();
        for (Event event : events) {
            if (event.time == null) {
                items.add(event.item);
            } else {
                single.add(event.time + " " + event.item);
            }
        }
        List<Long> wanted = new ArrayList<>();
        Replayed replayed = replay(0);
        for (int place = 0; place < replayed.ids.size(); place++) {
            Event event = replayed.events.get(place);
            if (items.contains(event.item) || single.contains(event.time + " " + event.item)) {
                wanted.add(replayed.ids.get(place));
            }
        }
        return forgotten(database -> delete(database, wanted));
    }

    /**
     * Deletes all events; nothing of them stays in the file.
     *
     * @return how many went
     */
    public int forgetAll() throws PocketRecException {
        return forgotten(database -> (int) database.run("DELETE FROM events"));
    }

    private int forgotten(Work<Integer> deletion) throws PocketRecException {
        int gone =
                writing(
                        database -> {
                            int count = deletion.on(database);
                            if (count > 0) {
                                database.run(
                                        "UPDATE meta SET value = value + 1"
                                                + " WHERE key = 'forgotten'");
                            }
                            return count;
                        });
        erase();
        return gone;
    }

    /**
     * Writes the events to a CSV file, {@code item,timestamp}, oldest first, readable by its owner.
     *
     * @return how many
     */
    @Override
    public int export(File file) throws PocketRecException {
        return Export.write(file, replay(0).events);
    }

    /** Closes the store and deletes its files; another call makes a new, empty one. */
    @Override
    public List<File> wipe() throws PocketRecException {
        close();
        return Wipe.wipe(path, opener());
    }

    /**
     * Deletes a store with everything that belongs to it, whole or damaged. A process that has it
     * open continues with a new, empty one.
     *
     * @return the files deleted
     * @throws StoreException the file is not a store; nothing was deleted
     */
    public static List<File> wipe(File path, Database.Opener opener) throws PocketRecException {
        return Wipe.wipe(path, opener);
    }

    /**
     * Replaces a store by a new one with every event that can be read and whose checksum is right;
     * the damaged file stays beside it under {@code NAME.damaged}. Nobody else may have it open.
     *
     * @throws StoreException it does not exist or is another file, or an earlier damaged file is in
     *     the way
     */
    public static Repair.Repaired repair(File path, Database.Opener opener)
            throws PocketRecException {
        return repair(path, opener, null);
    }

    /** As the other, of a store that is sealed with a key; null = the events lie in the clear. */
    public static Repair.Repaired repair(File path, Database.Opener opener, byte[] key)
            throws PocketRecException {
        return Repair.repair(path, opener, Seal.of(key));
    }

    /** Whether the events are encrypted. */
    public boolean sealed() {
        return seal != null;
    }

    /** Takes rows as another store held them; gives how many are undamaged. */
    int adopt(List<Object[]> rows) throws PocketRecException {
        List<Object[]> good = new ArrayList<>();
        for (Object[] row : rows) {
            try {
                Rows.decode(seal, path, row[0], row[1]);
                good.add(row);
            } catch (StoreException error) {
                // that one is lost
            }
        }
        return writing(
                database -> {
                    for (Object[] row : good) {
                        database.run(INSERT, row);
                    }
                    return good.size();
                });
    }

    private static int delete(Database database, List<Long> ids) throws DatabaseException {
        int gone = 0;
        for (Long id : ids) {
            gone += (int) database.run("DELETE FROM events WHERE id = ?", id);
        }
        return gone;
    }

    /** Deletes the oldest events but {@code most}; gives how many went. */
    private static int trim(Database database, long most) throws DatabaseException {
        Object[] ends = one(database, "SELECT min(id), max(id) FROM events");
        if (ends[1] == null || (Long) ends[1] - (Long) ends[0] < most) {
            return 0; // ids have gaps, so beyond this there may be too many
        }
        String newest = "(SELECT id FROM events ORDER BY id DESC LIMIT 1 OFFSET ?)";
        int gone = (int) database.run("DELETE FROM events WHERE id <= " + newest, most);
        countDropped(database, gone);
        return gone;
    }

    private static void countDropped(Database database, int gone) throws DatabaseException {
        database.run("UPDATE meta SET value = value + ? WHERE key = 'dropped'", (long) gone);
    }

    private static Object[] one(Database database, String query) throws DatabaseException {
        return database.query(query).get(0);
    }
}
