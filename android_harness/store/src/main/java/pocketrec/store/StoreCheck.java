// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.PocketRecException;
import pocketrec.core.Seal;
import pocketrec.core.SealException;
import pocketrec.core.StoreException;
import pocketrec.core.Text;

import java.io.File;
import java.util.List;

/** Whether a file is an event store that this version and this key can read. */
final class StoreCheck {
    private static final byte[] CHECK = Text.utf8("pocketrec event store"); // sealed in meta
    private static final byte[] NOTHING = {};

    private StoreCheck() {}

    /** What a new store has in its table meta, so that a wrong key is noticed. */
    static Object sealed(Seal seal) {
        return seal == null ? null : seal.seal(CHECK, NOTHING);
    }

    /**
     * Checks a store that was just opened.
     *
     * @throws StoreException it is something else, of another version, or of another key
     */
    static void check(StoreFile store, Database database, Database.Mode mode)
            throws PocketRecException, DatabaseException {
        File path = store.path;
        if (!Long.valueOf(StoreFile.APPLICATION).equals(pragma(database, "application_id"))) {
            throw new StoreException(path + " is not an event store: name another file");
        }
        Object version = pragma(database, "user_version");
        if (!Long.valueOf(StoreFile.VERSION).equals(version)) {
            throw new StoreException(
                    path
                            + " is of version "
                            + version
                            + " and this version of pocketrec reads "
                            + StoreFile.VERSION
                            + ": update pocketrec");
        }
        if (mode == Database.Mode.WRITE) {
            database.query("PRAGMA journal_mode = WAL");
        }
        checkKey(path, store.meta(database, "seal"), store.seal);
    }

    private static void checkKey(File path, Object sealed, Seal seal) throws StoreException {
        if (sealed == null && seal != null) {
            throw new StoreException(
                    path
                            + " is not encrypted, and a key was given: leave the key out, or export"
                            + " the events, wipe, and record them again");
        }
        if (sealed != null && seal == null) {
            throw new StoreException(
                    path + " is encrypted: give its key when the store is opened");
        }
        if (seal == null) {
            return;
        }
        try {
            if (!(sealed instanceof byte[])) {
                throw StoreErrors.damaged(path, "its seal is not bytes");
            }
            seal.open((byte[]) sealed, NOTHING);
        } catch (SealException error) {
            throw new StoreException(path + " is encrypted with another key: give its own");
        }
    }

    private static Object pragma(Database database, String name) throws DatabaseException {
        List<Object[]> rows = database.query("PRAGMA " + name);
        return rows.isEmpty() ? null : rows.get(0)[0];
    }
}
