// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.FileLock;
import pocketrec.core.PocketRecException;
import pocketrec.core.Seal;
import pocketrec.core.Storage;
import pocketrec.core.StorageException;
import pocketrec.core.StoreException;

import java.io.File;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.StandardOpenOption;
import java.security.SecureRandom;
import java.util.Collections;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.WeakHashMap;

/**
 * The file of an event store: made, opened, checked, and opened again where it was replaced. What
 * it holds: {@link EventStore}.
 *
 * <p>The format and the guarantees are those of device/store/handle.py. The journal is a
 * write-ahead log with synchronous = FULL. No other part of a program may open the file while a
 * connection of the process is on it: the system cancels a process's locks on a file when the
 * process closes any descriptor of it.
 */
abstract class StoreFile {
    /** Most events that a store keeps unless another limit is set. */
    static final long KEEP = 100_000;

    /** "PKRR", in the header of the file, by which an event store is known from other databases. */
    static final long APPLICATION = 0x504B5252L;

    static final long VERSION = 1; // of the tables
    private static final long WAIT_MS = 30_000; // for a transaction of another process
    private static final String[] SETTINGS = {
        "synchronous = FULL",
        "secure_delete = ON",
        "fullfsync = ON",
        "checkpoint_fullfsync = ON",
        "trusted_schema = OFF",
        "temp_store = MEMORY"
    };

    private static final Set<StoreFile> OPEN =
            Collections.synchronizedSet(Collections.newSetFromMap(new WeakHashMap<>()));

    /** The file; SQLite keeps two more beside it while it is open. */
    final File path;

    private final Database.Opener opener;
    private final boolean create;
    private volatile Database connection;
    private volatile Object file; // the identity of the file that the connection is on
    private boolean keep = true; // the connection, for the next call
    private String readOnly = "";

    /** Of the key of the events; null = they lie in the clear. */
    final Seal seal;

    StoreFile(File path, Database.Opener opener, boolean create, Seal seal) {
        this.path = path;
        this.seal = seal;
        this.opener = opener;
        this.create = create;
        OPEN.add(this);
    }

    /** Whether a store of this process has the file open. */
    static boolean openHere(File path) {
        Object place = Places.identity(path);
        synchronized (OPEN) {
            for (StoreFile store : OPEN) {
                if (store.connection != null && Objects.equals(store.file, place)) {
                    return true;
                }
            }
        }
        return false;
    }

    /** Work on the open database. */
    interface Work<T> {
        T on(Database database) throws DatabaseException, PocketRecException;
    }

    /**
     * Why the file can be read and not be written, in the system's words, when it was last opened;
     * "" = it can.
     */
    public synchronized String readOnly() {
        return readOnly;
    }

    /** What opens SQLite files here. */
    final Database.Opener opener() {
        return opener;
    }

    /** Closes the file; the next call opens it again. */
    public synchronized void close() {
        if (connection != null) {
            connection.close();
            connection = null;
            file = null;
        }
    }

    final synchronized <T> T reading(Work<T> work) throws PocketRecException {
        try {
            return work.on(current());
        } catch (DatabaseException error) {
            throw StoreErrors.translated(path, error);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        } finally {
            if (!keep) {
                close();
            }
        }
    }

    /** Work in a transaction of its own; when this returns, it is on the disk. */
    final synchronized <T> T writing(Work<T> work) throws PocketRecException {
        try {
            Database database = begun();
            boolean done = false;
            try {
                T result = work.on(database);
                database.run("COMMIT");
                done = true;
                return result;
            } finally {
                if (!done) {
                    rollBack(database);
                }
            }
        } catch (DatabaseException error) {
            throw StoreErrors.translated(path, error);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        }
    }

    /**
     * Leaves nothing of what was deleted in the files: free pages go, the log is cut to nothing.
     */
    final void erase() throws PocketRecException {
        boolean busy =
                reading(
                        database -> {
                            database.run("VACUUM");
                            return !database.query("PRAGMA wal_checkpoint(TRUNCATE)")
                                    .get(0)[0]
                                    .equals(0L);
                        });
        if (busy) {
            throw new StoreException(
                    path
                            + " is being read by another process, and a trace of what was deleted"
                            + " is left: do it again when the other has ended");
        }
    }

    final Object meta(Database database, String key) throws DatabaseException, StoreException {
        List<Object[]> rows = database.query("SELECT value FROM meta WHERE key = '" + key + "'");
        if (rows.isEmpty()) {
            throw StoreErrors.damaged(path, "it lacks " + key);
        }
        return rows.get(0)[0];
    }

    final long number(Database database, String key) throws DatabaseException, StoreException {
        Object value = meta(database, key);
        if (!(value instanceof Long)) {
            throw StoreErrors.damaged(path, key + " is not a number");
        }
        return (Long) value;
    }

    // --- the connection ---

    private Database current() throws PocketRecException, DatabaseException, IOException {
        while (connection == null || !Objects.equals(file, Places.identity(path))) {
            close();
            prepare();
            file = Places.identity(path);
            connection = opened();
        }
        return connection;
    }

    /** The connection, in a transaction; the file has the path still. */
    private Database begun() throws PocketRecException, DatabaseException, IOException {
        if (!readOnly.isEmpty()) { // it may be writable by now
            close();
        }
        while (true) {
            Database database = current();
            if (!readOnly.isEmpty()) {
                throw new StorageException(
                        "cannot write " + path + ": " + readOnly + StoreErrors.ROOM);
            }
            database.run("BEGIN IMMEDIATE");
            if (Objects.equals(file, Places.identity(path))) {
                return database;
            }
            rollBack(database);
        }
    }

    private static void rollBack(Database database) {
        try {
            database.run("ROLLBACK");
        } catch (DatabaseException error) {
            // SQLite has rolled back itself
        }
    }

    private void prepare() throws PocketRecException, IOException {
        if (!path.exists()) {
            if (!create) {
                throw new StoreException("no event store " + path + ": record events first");
            }
            make();
        } else if (path.length() == 0) {
            throw new StoreException(path + " is empty: name another file, or remove this one");
        }
    }

    private Database opened() throws PocketRecException, DatabaseException {
        keep = true;
        readOnly = Places.forbidden(path);
        if (readOnly.isEmpty()) {
            try {
                return checked(Database.Mode.WRITE);
            } catch (DatabaseException error) {
                readOnly = StoreErrors.unwritten(path, error);
                if (readOnly.isEmpty()) {
                    throw error;
                }
            }
        }
        try {
            return checked(Database.Mode.READ);
        } catch (DatabaseException error) {
            if (StoreErrors.unwritten(path, error).isEmpty()) {
                throw error;
            }
        }
        keep = false; // without locks it is not kept open: another process may write again
        return checked(Database.Mode.READ_UNLOCKED);
    }

    // --- making and checking ---

    /** Makes an empty store in one step: a process that is killed here leaves no half of one. */
    private void make() throws PocketRecException, IOException {
        File log = new File(path + "-wal");
        if (log.exists() && !path.exists()) {
            throw new StoreException(
                    path
                            + " is gone, but its log "
                            + log
                            + " is there: restore the store, or remove the log");
        }
        File temporary = Storage.temporary(path);
        try {
            Files.createDirectories(temporary.getParentFile().toPath());
            Storage.sweep(path, 3_600_000);
            Files.createFile(temporary.toPath());
            Storage.ownerOnly(temporary);
            fill(temporary);
            try (FileChannel channel =
                    FileChannel.open(temporary.toPath(), StandardOpenOption.WRITE)) {
                channel.force(true);
            }
            place(temporary);
        } catch (DatabaseException error) {
            throw StoreErrors.translated(path, error);
        } finally {
            for (String suffix : new String[] {"", "-wal", "-shm"}) {
                new File(temporary + suffix).delete();
            }
        }
    }

    private void fill(File temporary) throws DatabaseException {
        try (Database database = configured(temporary, Database.Mode.WRITE)) {
            database.query("PRAGMA journal_mode = WAL");
            database.run("BEGIN IMMEDIATE");
            database.run("PRAGMA application_id = " + APPLICATION);
            database.run("CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID");
            database.run(
                    "CREATE TABLE events (id INTEGER PRIMARY KEY AUTOINCREMENT, mark BLOB NOT NULL"
                            + " UNIQUE, value NOT NULL)");
            database.run("PRAGMA user_version = " + VERSION);
            byte[] name = new byte[8];
            new SecureRandom().nextBytes(name);
            String insert = "INSERT INTO meta VALUES (?, ?)";
            database.run(insert, "name", Storage.hex(name));
            database.run(insert, "forgotten", 0L);
            database.run(insert, "dropped", 0L);
            database.run(insert, "keep", KEEP);
            database.run(insert, "seal", StoreCheck.sealed(seal));
            database.run("COMMIT");
        }
    }

    /** Gives a finished file its name, unless another process was faster: then that one's stays. */
    private void place(File temporary) throws PocketRecException, IOException {
        try {
            Files.createLink(path.toPath(), temporary.toPath());
        } catch (FileAlreadyExistsException error) {
            return;
        } catch (IOException
                | UnsupportedOperationException
                | SecurityException error) { // Android forbids links
            try (FileLock lock = FileLock.of(path)) {
                if (!path.exists()) {
                    Files.move(temporary.toPath(), path.toPath());
                }
            }
        }
        Storage.syncFolder(path.getAbsoluteFile().getParentFile());
    }

    private Database configured(File place, Database.Mode mode) throws DatabaseException {
        Database database = opener.open(place, mode);
        boolean good = false;
        try {
            if (mode == Database.Mode.READ_UNLOCKED) {
                database.query("PRAGMA locking_mode = EXCLUSIVE"); // the log's index in memory
            }
            database.query("PRAGMA busy_timeout = " + WAIT_MS);
            for (String setting : SETTINGS) {
                database.query("PRAGMA " + setting);
            }
            good = true;
            return database;
        } finally {
            if (!good) {
                database.close();
            }
        }
    }

    private Database checked(Database.Mode mode) throws PocketRecException, DatabaseException {
        Database database = configured(path, mode);
        boolean good = false;
        try {
            StoreCheck.check(this, database, mode);
            good = true;
            return database;
        } finally {
            if (!good) {
                database.close();
            }
        }
    }
}
