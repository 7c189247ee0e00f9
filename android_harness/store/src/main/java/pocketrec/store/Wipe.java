// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.PocketRecException;
import pocketrec.core.Storage;
import pocketrec.core.StoreException;

import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Deleting an event store with everything that belongs to it. */
final class Wipe {
    static final byte[] MAGIC = "SQLite format 3\0".getBytes(StandardCharsets.US_ASCII);

    private static final int NUMBER_AT = 68; // of the application, in a database's header

    private Wipe() {}

    static List<File> wipe(File path, Database.Opener opener) throws PocketRecException {
        Database emptied = null;
        try {
            if (path.exists()) {
                if (path.length() > 0 && !isOurs(path, opener)) {
                    throw new StoreException(
                            path
                                    + " is not an event store and was not deleted: name another"
                                    + " file");
                }
                emptied = emptied(path, opener);
            }
            return deleted(path);
        } catch (DatabaseException error) {
            throw StoreErrors.translated(path, error);
        } catch (IOException error) {
            throw Storage.failed(path, error);
        } finally {
            if (emptied != null) {
                emptied.close();
            }
        }
    }

    private static List<File> deleted(File path) throws IOException {
        Storage.sweep(path, 0);
        List<File> deleted = new ArrayList<>();
        // The log goes first: SQLite would play an old one into a new store of the same name.
        for (String suffix : new String[] {"-wal", "-shm", "", ".damaged-wal", ".damaged"}) {
            File file = new File(path + suffix);
            if (Files.deleteIfExists(file.toPath())) {
                deleted.add(file);
            }
        }
        Storage.syncFolder(path.getAbsoluteFile().getParentFile());
        return deleted;
    }

    private static boolean isOurs(File path, Database.Opener opener)
            throws DatabaseException, PocketRecException, IOException {
        try (Database database = opener.open(path, Database.Mode.READ)) {
            Object number = database.query("PRAGMA application_id").get(0)[0];
            return number.equals(StoreFile.APPLICATION);
        } catch (DatabaseException error) {
            if (error.code != DatabaseException.NOTADB && error.code != DatabaseException.CORRUPT) {
                throw error;
            }
        }
        try (Alone alone = Alone.with(path)) { // a damaged header: its first bytes tell
            byte[] head = alone.head(100);
            return head.length == 100
                    && begins(head)
                    && ByteBuffer.wrap(head).getInt(NUMBER_AT) == StoreFile.APPLICATION;
        }
    }

    static boolean begins(byte[] head) {
        return Arrays.equals(Arrays.copyOf(head, MAGIC.length), MAGIC);
    }

    /**
     * Overwrites the events, and keeps every writer waiting until the connection is closed: who
     * comes after the deletion finds that the file is another. Null where the store is damaged or
     * busy: then it is only deleted.
     */
    private static Database emptied(File path, Database.Opener opener) {
        Database database = null;
        try {
            database = opener.open(path, Database.Mode.WRITE);
            database.query("PRAGMA busy_timeout = 30000");
            database.query("PRAGMA secure_delete = ON");
            database.run("DELETE FROM events");
            database.run("VACUUM");
            database.query("PRAGMA wal_checkpoint(TRUNCATE)");
            database.run("BEGIN IMMEDIATE");
            return database;
        } catch (DatabaseException error) {
            if (database != null) {
                database.close();
            }
            return null;
        }
    }
}
