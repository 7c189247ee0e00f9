// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import org.sqlite.SQLiteConfig;
import org.sqlite.SQLiteOpenMode;

import pocketrec.store.Database;
import pocketrec.store.DatabaseException;

import java.io.File;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** SQLite files on a JVM, by the JDBC driver {@code org.xerial:sqlite-jdbc}. */
public final class JdbcDatabases implements Database.Opener {
    @Override
    public Database open(File path, Database.Mode mode) throws DatabaseException {
        SQLiteConfig config = new SQLiteConfig();
        config.resetOpenMode(SQLiteOpenMode.CREATE);
        config.setReadOnly(mode != Database.Mode.WRITE);
        config.setBusyTimeout(0); // the store sets its own
        config.setOpenMode(SQLiteOpenMode.OPEN_URI);
        File log = new File(path + "-wal");
        String how =
                mode != Database.Mode.READ_UNLOCKED
                        ? ""
                        : log.length() > 0 ? "?vfs=unix-none" : "?immutable=1";
        try {
            String place = path.getAbsoluteFile().toURI().getRawPath();
            return new Jdbc(config.createConnection("jdbc:sqlite:file:" + place + how));
        } catch (SQLException error) {
            throw translated(error);
        }
    }

    private static DatabaseException translated(SQLException error) {
        return new DatabaseException(error.getErrorCode(), error.getMessage(), error);
    }

    private static final class Jdbc implements Database {
        private final Connection connection;

        Jdbc(Connection connection) {
            this.connection = connection;
        }

        @Override
        public long run(String statement, Object... arguments) throws DatabaseException {
            try (PreparedStatement prepared = prepared(statement, arguments)) {
                return prepared.execute() ? 0 : prepared.getUpdateCount();
            } catch (SQLException error) {
                throw translated(error);
            }
        }

        @Override
        public List<Object[]> query(String statement, Object... arguments)
                throws DatabaseException {
            List<Object[]> rows = new ArrayList<>();
            try (PreparedStatement prepared = prepared(statement, arguments)) {
                if (prepared.execute()) {
                    try (ResultSet found = prepared.getResultSet()) {
                        int columns = found.getMetaData().getColumnCount();
                        while (found.next()) {
                            Object[] row = new Object[columns];
                            for (int column = 0; column < columns; column++) {
                                Object value = found.getObject(column + 1);
                                boolean whole = value instanceof Integer;
                                row[column] = whole ? ((Integer) value).longValue() : value;
                            }
                            rows.add(row);
                        }
                    }
                }
                return rows;
            } catch (SQLException error) {
                throw translated(error);
            }
        }

        @Override
        public void close() {
            try {
                connection.close();
            } catch (SQLException error) {
                // nothing is lost: what was committed is on the disk
            }
        }

        private PreparedStatement prepared(String statement, Object[] arguments)
                throws SQLException {
            PreparedStatement prepared = connection.prepareStatement(statement);
            for (int place = 0; place < arguments.length; place++) {
                Object value = arguments[place];
                if (value instanceof byte[]) {
                    prepared.setBytes(place + 1, (byte[]) value);
                } else if (value instanceof Long) {
                    prepared.setLong(place + 1, (Long) value);
                } else {
                    prepared.setString(place + 1, (String) value);
                }
            }
            return prepared;
        }
    }
}
