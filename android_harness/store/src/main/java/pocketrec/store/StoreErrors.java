// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.PocketRecException;
import pocketrec.core.StorageException;
import pocketrec.core.StoreException;

import java.io.File;

/** How SQLite's errors become exceptions of one line that say what to do. */
final class StoreErrors {
    static final String ROOM = ": free some space or name a folder that can be written";

    private StoreErrors() {}

    static StoreException damaged(File path, String reason) {
        return new StoreException(
                path
                        + " is damaged ("
                        + reason
                        + "): repair it with EventStore.repair, which saves what can be read and"
                        + " keeps the damaged file");
    }

    static PocketRecException translated(File path, DatabaseException error) {
        if (error.code == DatabaseException.BUSY || error.code == DatabaseException.LOCKED) {
            return new StoreException(
                    path + " is in use by another process: try again when it has ended", error);
        }
        String cause = unwritten(path, error);
        if (!cause.isEmpty()) {
            return new StorageException("cannot write " + path + ": " + cause + ROOM, error);
        }
        if (error.code == DatabaseException.NOTADB) {
            return new StoreException(
                    path
                            + " is not an event store, or its beginning is damaged: name another"
                            + " file, or repair it with EventStore.repair",
                    error);
        }
        return damaged(path, error.getMessage());
    }

    /** Why a file cannot be written, where an error says so; "" = it says other things. */
    static String unwritten(File path, DatabaseException error) {
        switch (error.code) {
            case DatabaseException.FULL:
                return Places.NO_SPACE;
            case DatabaseException.IOERR:
            case DatabaseException.READONLY:
            case DatabaseException.CANTOPEN:
            case DatabaseException.PERM:
                String reason = Places.unwritable(path);
                return reason.isEmpty() ? error.getMessage() : reason;
            default:
                return "";
        }
    }
}
