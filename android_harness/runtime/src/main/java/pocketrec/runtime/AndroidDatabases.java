// SPDX-License-Identifier: Apache-2.0
package pocketrec.runtime;

import android.database.Cursor;
import android.database.SQLException;
import android.database.sqlite.SQLiteAccessPermException;
import android.database.sqlite.SQLiteCantOpenDatabaseException;
import android.database.sqlite.SQLiteDatabase;
import android.database.sqlite.SQLiteDatabaseCorruptException;
import android.database.sqlite.SQLiteDatabaseLockedException;
import android.database.sqlite.SQLiteDiskIOException;
import android.database.sqlite.SQLiteFullException;
import android.database.sqlite.SQLiteProgram;
import android.database.sqlite.SQLiteReadOnlyDatabaseException;
import android.database.sqlite.SQLiteStatement;

import pocketrec.store.Database;
import pocketrec.store.DatabaseException;

import java.io.File;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * SQLite files on Android, by the system's own {@code android.database.sqlite}. A damaged file is
 * left as it is, where Android's own handler would delete it.
 */
public final class AndroidDatabases implements Database.Opener {
    private static final int UNKNOWN = 1;
    private static final Pattern CODE = Pattern.compile("\\(code (\\d+)");

    @Override
    public Database open(File path, Database.Mode mode) throws DatabaseException {
        int flags =
                mode == Database.Mode.WRITE
                        ? SQLiteDatabase.OPEN_READWRITE
                        : SQLiteDatabase.OPEN_READONLY;
        flags |= SQLiteDatabase.NO_LOCALIZED_COLLATORS; // or Android adds a table of its own
        try {
            return new Opened(
                    SQLiteDatabase.openDatabase(path.getPath(), null, flags, damaged -> {}));
        } catch (SQLException | IllegalStateException error) {
            throw translated(error);
        }
    }

    private static DatabaseException translated(RuntimeException error) {
        Matcher told = CODE.matcher(String.valueOf(error.getMessage()));
        int code = told.find() ? Integer.parseInt(told.group(1)) : code(error);
        return new DatabaseException(code, error.getMessage(), error);
    }

    private static int code(RuntimeException error) {
        if (error instanceof SQLiteDatabaseLockedException) {
            return 5;
        }
        if (error instanceof SQLiteReadOnlyDatabaseException) {
            return 8;
        }
        if (error instanceof SQLiteDiskIOException) {
            return 10;
        }
        if (error instanceof SQLiteDatabaseCorruptException) {
            return 11;
        }
        if (error instanceof SQLiteFullException) {
            return 13;
        }
        boolean closed =
                error instanceof SQLiteCantOpenDatabaseException
                        || error instanceof SQLiteAccessPermException;
        return closed ? 14 : UNKNOWN;
    }

    private static final class Opened implements Database {
        private final SQLiteDatabase database;

        Opened(SQLiteDatabase database) {
            this.database = database;
        }

        @Override
        public long run(String statement, Object... arguments) throws DatabaseException {
            String kind = statement.substring(0, 6).toUpperCase(Locale.ROOT);
            try {
                if (kind.equals("BEGIN ")) {
                    database.beginTransactionNonExclusive(); // BEGIN IMMEDIATE
                    return 0;
                }
                if (kind.equals("COMMIT")) {
                    database.setTransactionSuccessful();
                    database.endTransaction();
                    return 0;
                }
                if (kind.equals("ROLLBA")) {
                    if (database.inTransaction()) {
                        database.endTransaction();
                    }
                    return 0;
                }
                if (kind.equals("PRAGMA")) {
                    query(statement);
                    return 0;
                }
                try (SQLiteStatement compiled = database.compileStatement(statement)) {
                    bind(compiled, arguments);
                    return changes(compiled, kind);
                }
            } catch (SQLException | IllegalStateException error) {
                throw translated(error);
            }
        }

        private static long changes(SQLiteStatement compiled, String kind) {
            if (kind.equals("INSERT")) {
                return compiled.executeInsert() < 0 ? 0 : 1; // below 0: there was one already
            }
            if (kind.equals("UPDATE") || kind.equals("DELETE")) {
                return compiled.executeUpdateDelete();
            }
            compiled.execute();
            return 0;
        }

        @Override
        public List<Object[]> query(String statement, Object... arguments)
                throws DatabaseException {
            String[] texts = new String[arguments.length];
            for (int place = 0; place < arguments.length; place++) {
                texts[place] = String.valueOf(arguments[place]);
            }
            // Android binds texts alone, and a text is never equal to a number.
            String compared = statement.replace("?", "CAST(? AS INTEGER)");
            List<Object[]> rows = new ArrayList<>();
            try (Cursor cursor = database.rawQuery(compared, texts)) {
                while (cursor.moveToNext()) {
                    Object[] row = new Object[cursor.getColumnCount()];
                    for (int column = 0; column < row.length; column++) {
                        row[column] = value(cursor, column);
                    }
                    rows.add(row);
                }
                return rows;
            } catch (SQLException | IllegalStateException error) {
                throw translated(error);
            }
        }

        private static Object value(Cursor cursor, int column) {
            switch (cursor.getType(column)) {
                case Cursor.FIELD_TYPE_INTEGER:
                    return cursor.getLong(column);
                case Cursor.FIELD_TYPE_FLOAT:
                    return cursor.getDouble(column);
                case Cursor.FIELD_TYPE_STRING:
                    return cursor.getString(column);
                case Cursor.FIELD_TYPE_BLOB:
                    return cursor.getBlob(column);
                default:
                    return null;
            }
        }

        private static void bind(SQLiteProgram compiled, Object[] arguments) {
            for (int place = 0; place < arguments.length; place++) {
                Object value = arguments[place];
                if (value instanceof byte[]) {
                    compiled.bindBlob(place + 1, (byte[]) value);
                } else if (value instanceof Long) {
                    compiled.bindLong(place + 1, (Long) value);
                } else if (value == null) {
                    compiled.bindNull(place + 1);
                } else {
                    compiled.bindString(place + 1, (String) value);
                }
            }
        }

        @Override
        public void close() {
            if (database.inTransaction()) {
                database.endTransaction();
            }
            database.close();
        }
    }
}
