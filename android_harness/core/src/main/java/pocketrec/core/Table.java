// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * Typed reading of a JSON object: what is missing or of another type is a {@link JsonException}
 * that names it.
 */
public final class Table {
    private final Map<String, Object> map;

    private Table(Map<String, Object> map) {
        this.map = map;
    }

    /** Takes a parsed value that has to be an object; {@code what} names it in messages. */
    @SuppressWarnings("unchecked")
    public static Table of(Object value, String what) throws JsonException {
        if (!(value instanceof Map)) {
            throw new JsonException(what + " is not a table");
        }
        return new Table((Map<String, Object>) value);
    }

    /** The table under a name; an empty one where it is absent. */
    public Table table(String name) throws JsonException {
        Object value = get(name);
        return of(value == null ? new LinkedHashMap<String, Object>() : value, name);
    }

    /** The list under a name; an empty one where it is absent. */
    public List<?> list(String name) throws JsonException {
        Object value = get(name);
        if (value != null && !(value instanceof List)) {
            throw new JsonException(name + " is not a list");
        }
        return value == null ? Collections.emptyList() : (List<?>) value;
    }

    /** The list of finite numbers under a name; an empty one where it is absent. */
    public List<Double> numbers(String name) throws JsonException {
        List<Double> numbers = new ArrayList<>();
        for (Object value : list(name)) {
            if (!(value instanceof Number)) {
                throw new JsonException(name + " is not a list of numbers");
            }
            numbers.add(((Number) value).doubleValue());
        }
        return numbers;
    }

    /** A text that has to be there. */
    public String text(String name) throws JsonException {
        return text(name, null);
    }

    /** A text; {@code otherwise} where it is absent. */
    public String text(String name, String otherwise) throws JsonException {
        Object value = present(name, otherwise);
        if (!(value instanceof String)) {
            throw new JsonException(name + " is not a text");
        }
        return (String) value;
    }

    /** True or false; {@code otherwise} where it is absent. */
    public boolean flag(String name, boolean otherwise) throws JsonException {
        Object value = present(name, otherwise);
        if (!(value instanceof Boolean)) {
            throw new JsonException(name + " is not true or false");
        }
        return (Boolean) value;
    }

    /** A number that has to be there. */
    double number(String name) throws JsonException {
        Object value = present(name, null);
        if (!(value instanceof Number)) {
            throw new JsonException(name + " is not a number");
        }
        return ((Number) value).doubleValue();
    }

    /** A number; {@code otherwise} where it is absent. */
    public double number(String name, double otherwise) throws JsonException {
        Object value = present(name, otherwise);
        if (!(value instanceof Number)) {
            throw new JsonException(name + " is not a number");
        }
        return ((Number) value).doubleValue();
    }

    /** A number, or null where it is absent or null. */
    public Double optionalNumber(String name) throws JsonException {
        return get(name) == null ? null : Double.valueOf(number(name, 0));
    }

    /** A whole number in {@code least}..2^31 - 1. */
    public int whole(String name, int least) throws JsonException {
        long value = wholeLong(name, least);
        if (value > Integer.MAX_VALUE) {
            throw new JsonException(name + " is too large");
        }
        return (int) value;
    }

    /** As the other; {@code otherwise} where it is absent. */
    public int whole(String name, int least, int otherwise) throws JsonException {
        return get(name) == null ? otherwise : whole(name, least);
    }

    /** A whole number of at least {@code least}. */
    public long wholeLong(String name, long least) throws JsonException {
        Object value = present(name, null);
        if (!(value instanceof Long) || (Long) value < least) {
            throw new JsonException(name + " is not a whole number from " + least);
        }
        return (Long) value;
    }

    /** Names in the order read. */
    public Set<String> names() {
        return map.keySet();
    }

    /** All of it; not to be changed. */
    public Map<String, Object> map() {
        return Collections.unmodifiableMap(map);
    }

    /** Whether there is something under a name. */
    public boolean has(String name) {
        return map.containsKey(name);
    }

    private Object get(String name) {
        return map.get(name);
    }

    private Object present(String name, Object otherwise) throws JsonException {
        Object value = get(name);
        if (value == null && otherwise == null) {
            throw new JsonException(name + " is missing");
        }
        return value == null ? otherwise : value;
    }
}
