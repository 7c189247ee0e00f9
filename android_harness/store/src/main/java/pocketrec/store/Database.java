// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import java.io.Closeable;
import java.io.File;
import java.util.List;

/**
 * A connection to an SQLite file, as the store needs one: {@code
 * pocketrec.runtime.AndroidDatabases} on a phone, {@code pocketrec.desktop.JdbcDatabases} on a JVM.
 * One thread at a time uses it.
 */
public interface Database extends Closeable {
    /**
     * Runs a statement.
     *
     * @param arguments values of its question marks: Long, String, byte[] or null
     * @return how many rows it inserted, updated or deleted
     */
    long run(String statement, Object... arguments) throws DatabaseException;

    /**
     * The rows that a query or a PRAGMA gives.
     *
     * @param arguments values of its question marks: Long
     * @return rows of Long, Double, String, byte[] or null
     */
    List<Object[]> query(String statement, Object... arguments) throws DatabaseException;

    @Override
    void close();

    /** How a file is opened. */
    enum Mode {
        /** To be written and read; a file that is missing is not made. */
        WRITE,
        /** To be read. */
        READ,
        /** To be read where no file can be made beside it: no locks are taken. */
        READ_UNLOCKED
    }

    /** Opens SQLite files. */
    interface Opener {
        /**
         * Opens a file that exists; an error of the content may come later, with the first
         * statement.
         *
         * @throws DatabaseException it cannot be opened
         */
        Database open(File path, Mode mode) throws DatabaseException;
    }
}
