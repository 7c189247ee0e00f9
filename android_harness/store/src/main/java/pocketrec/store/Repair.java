// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.PocketRecException;
import pocketrec.core.Seal;
import pocketrec.core.Storage;
import pocketrec.core.StoreException;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.List;

/**
 * What can be saved of a damaged event store: every event that can be read and whose checksum is
 * right. Reading goes around the damage by halving: a range that cannot be read is read in two
 * parts.
 */
public final class Repair {
    private static final long LAST = 1 << 20; // looked for where the store cannot tell

    private static final String RANGE =
            "SELECT mark, value FROM events WHERE id BETWEEN ? AND ? ORDER BY id";

    private Repair() {}

    /** The result of a repair. */
    public static final class Repaired {
        /** Events of the new store. */
        public final long saved;

        /** Numbers whose event cannot be read or has a wrong checksum. */
        public final long lost;

        /** Where the damaged file is now. */
        public final File kept;

        Repaired(long saved, long lost, File kept) {
            this.saved = saved;
            this.lost = lost;
            this.kept = kept;
        }
    }

    static Repaired repair(File path, Database.Opener opener, Seal seal)
            throws PocketRecException {
        File kept = new File(path + ".damaged");
        if (!path.exists()) {
            throw new StoreException("no event store " + path + ": name another file");
        }
        if (kept.exists()) {
            throw new StoreException(
                    kept + " already exists: move it, or delete it if it is not needed");
        }
        try (Alone alone = Alone.with(path)) {
            if (!Wipe.begins(alone.head(Wipe.MAGIC.length))) {
                throw new StoreException(
                        path
                                + " is not an event store by its first bytes and was left alone:"
                                + " name another file");
            }
            return replaced(path, kept, opener, seal);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        }
    }

    private static Repaired replaced(
            File path, File kept, Database.Opener opener, Seal seal)
            throws PocketRecException, IOException {
        File copy = Storage.temporary(path);
        File fresh = Storage.temporary(path);
        try {
            for (String suffix : new String[] {"", "-wal"}) {
                File from = new File(path + suffix);
                if (from.exists()) {
                    Files.copy(from.toPath(), new File(copy + suffix).toPath());
                    Storage.ownerOnly(new File(copy + suffix));
                }
            }
            long saved;
            long lost;
            try (EventStore store = EventStore.beside(fresh, opener, seal)) {
                lost = copied(copy, store, opener);
                saved = store.size();
            }
            keep(path, kept);
            Files.deleteIfExists(new File(path + "-shm").toPath());
            Files.move(
                    fresh.toPath(),
                    path.toPath(),
                    StandardCopyOption.REPLACE_EXISTING,
                    StandardCopyOption.ATOMIC_MOVE);
            Storage.syncFolder(path.getAbsoluteFile().getParentFile());
            return new Repaired(saved, lost, kept);
        } finally {
            for (String suffix : new String[] {"", "-wal", "-shm"}) {
                new File(copy + suffix).delete();
                new File(fresh + suffix).delete();
            }
        }
    }

    private static void keep(File path, File kept) throws IOException {
        try {
            Files.createLink(kept.toPath(), path.toPath()); // the path is never without a file
        } catch (IOException | UnsupportedOperationException | SecurityException error) {
            Files.move(path.toPath(), kept.toPath(), StandardCopyOption.ATOMIC_MOVE);
        }
        File log = new File(path + "-wal");
        if (log.exists()) {
            Files.move(
                    log.toPath(),
                    new File(kept + "-wal").toPath(),
                    StandardCopyOption.REPLACE_EXISTING);
        }
    }

    /** Copies what can be read into a new store; gives how many rows could not. */
    private static long copied(File damaged, EventStore store, Database.Opener opener)
            throws PocketRecException {
        try (Database database = opener.open(damaged, Database.Mode.WRITE)) {
            long last =
                    value(database, "SELECT seq FROM sqlite_sequence WHERE name = 'events'", LAST);
            List<Object[]> saved = new ArrayList<>();
            database.query(RANGE, 0L, 0L); // where the tables themselves are gone, nothing is left
            long lost = rows(database, 1, last, saved);
            lost += saved.size() - store.adopt(saved);
            long most = value(database, "SELECT value FROM meta WHERE key = 'keep'", -1);
            if (most >= 1) {
                store.retainNewest(most);
            }
            return lost;
        } catch (DatabaseException error) {
            return 0;
        }
    }

    private static long value(Database database, String query, long otherwise) {
        try {
            List<Object[]> rows = database.query(query);
            boolean told = !rows.isEmpty() && rows.get(0)[0] instanceof Long;
            return told ? (Long) rows.get(0)[0] : otherwise;
        } catch (DatabaseException error) {
            return otherwise;
        }
    }

    /** Adds mark and value of the events in a range of numbers; gives how many cannot be read. */
    private static long rows(Database database, long first, long last, List<Object[]> found) {
        if (first > last) {
            return 0;
        }
        try {
            found.addAll(database.query(RANGE, first, last));
            return 0;
        } catch (DatabaseException error) {
            if (first == last) {
                return 1;
            }
            long middle = first + (last - first) / 2;
            return rows(database, first, middle, found) + rows(database, middle + 1, last, found);
        }
    }
}
