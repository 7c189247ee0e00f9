// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;

/** A JSON table whose keys and values were checked; absent ones are filled in. */
final class Fields {
    private final Map<String, Field> known = new HashMap<>();
    private final Map<String, Object> values;
    private final String path;

    private Fields(Map<String, Object> values, String path) {
        this.values = values;
        this.path = path;
    }

    /**
     * Checks a table.
     *
     * @param table its keys and values
     * @param fields what it may have
     * @param path where it stands, such as guard.prior; "" = it is the file itself
     * @throws JsonException a key is unknown, or a value is not what its field takes
     */
    static Fields of(Table table, Field[] fields, String path) throws JsonException {
        Fields checked = new Fields(table.map(), path);
        for (Field field : fields) {
            checked.known.put(field.name, field);
        }
        for (Map.Entry<String, Object> entry : table.map().entrySet()) {
            Field field = checked.known.get(entry.getKey());
            if (field == null) {
                throw new JsonException("unknown key " + checked.at(entry.getKey()));
            }
            field.check(entry.getValue(), checked.at(entry.getKey()));
        }
        return checked;
    }

    /** All of it but tables, with what is absent filled in. */
    Map<String, Object> filled() {
        Map<String, Object> filled = new LinkedHashMap<>();
        for (Field field : known.values()) {
            if (field.kind != Field.Kind.TABLE) {
                filled.put(field.name, value(field.name, field.kind));
            }
        }
        return filled;
    }

    boolean flag(String name) {
        return (Boolean) value(name, Field.Kind.FLAG);
    }

    int whole(String name) {
        return (int) (long) (Long) value(name, Field.Kind.WHOLE);
    }

    double number(String name) {
        return ((Number) value(name, Field.Kind.NUMBER)).doubleValue();
    }

    String text(String name) {
        return (String) value(name, Field.Kind.TEXT);
    }

    /** The table under a name; an empty one where it is absent. */
    Table table(String name) throws JsonException {
        Object value = value(name, Field.Kind.TABLE);
        return Table.of(value == null ? new HashMap<String, Object>() : value, at(name));
    }

    /** The table under a name, checked too. */
    Fields table(String name, Field[] fields) throws JsonException {
        return of(table(name), fields, at(name));
    }

    /** Where a field of this table stands. */
    String at(String name) {
        return path.isEmpty() ? name : path + "." + name;
    }

    private Object value(String name, Field.Kind kind) {
        Field field = known.get(name);
        if (field == null || field.kind != kind) {
            throw new IllegalArgumentException("the table has no " + kind + " " + at(name));
        }
        return values.containsKey(name) ? values.get(name) : field.otherwise;
    }
}
