// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

/** What SQLite reports; {@link EventStore} turns it into an exception that says what to do. */
public final class DatabaseException extends Exception {
    static final int PERM = 3;
    static final int BUSY = 5;
    static final int LOCKED = 6;
    static final int READONLY = 8;
    static final int IOERR = 10;
    static final int CORRUPT = 11;
    static final int FULL = 13;
    static final int CANTOPEN = 14;
    static final int NOTADB = 26;

    /** SQLite's result code, without its extension; 0 = unknown. */
    public final int code;

    /**
     * @param code SQLite's result code
     * @param message what it says
     * @param cause the driver's own
     */
    public DatabaseException(int code, String message, Throwable cause) {
        super(String.valueOf(message).replaceAll("\\s+", " "), cause);
        this.code = code & 0xFF;
    }
}
