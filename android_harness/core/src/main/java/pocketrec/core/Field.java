// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * One field of a JSON table: its name, what it takes, and what it is where it is absent. Every
 * method that adds a rule gives a changed copy.
 */
final class Field {
    private static final double LARGEST = 9007199254740992.0; // 2^53, beyond which JSON is rounded

    /** The JSON types that a field may be of. */
    enum Kind {
        FLAG("true or false"),
        WHOLE("a whole number"),
        NUMBER("a number"),
        TEXT("a text"),
        TABLE("a table");

        final String words;

        Kind(String words) {
            this.words = words;
        }
    }

    /** Its key. */
    final String name;

    /** Its type. */
    final Kind kind;

    /** What it is where it is absent: Boolean, Long, Double or String; null for a table. */
    final Object otherwise;

    private final Range range;
    private final List<String> known; // texts that it may be; empty = any

    private Field(String name, Kind kind, Object otherwise, Range range, List<String> known) {
        this.name = name;
        this.kind = kind;
        this.otherwise = otherwise;
        this.range = range;
        this.known = known;
    }

    private static Field of(String name, Kind kind, Object otherwise) {
        return new Field(name, kind, otherwise, new Range(), Arrays.asList());
    }

    static Field flag(String name, boolean otherwise) {
        return of(name, Kind.FLAG, otherwise);
    }

    static Field whole(String name, long otherwise) {
        return of(name, Kind.WHOLE, otherwise);
    }

    static Field number(String name, double otherwise) {
        return of(name, Kind.NUMBER, otherwise);
    }

    static Field text(String name, String otherwise) {
        return of(name, Kind.TEXT, otherwise);
    }

    static Field table(String name) {
        return of(name, Kind.TABLE, null);
    }

    Field above(double limit) {
        return with(new Range(range, "above", limit));
    }

    Field atLeast(double limit) {
        return with(new Range(range, "at least", limit));
    }

    Field below(double limit) {
        return with(new Range(range, "below", limit));
    }

    Field atMost(double limit) {
        return with(new Range(range, "at most", limit));
    }

    Field oneOf(String... texts) {
        return new Field(name, kind, otherwise, range, Arrays.asList(texts));
    }

    private Field with(Range changed) {
        return new Field(name, kind, otherwise, changed, known);
    }

    /**
     * Refuses a value that the field does not take.
     *
     * @param path where the field stands, for the message
     */
    void check(Object value, String path) throws JsonException {
        boolean fits =
                kind == Kind.FLAG && value instanceof Boolean
                        || kind == Kind.WHOLE && value instanceof Long
                        || kind == Kind.NUMBER && value instanceof Number
                        || kind == Kind.TEXT && value instanceof String
                        || kind == Kind.TABLE && value instanceof Map;
        if (!fits) {
            throw new JsonException(path + " must be " + kind.words + ", not " + value);
        }
        if (value instanceof Number) {
            double number = ((Number) value).doubleValue();
            double most = kind == Kind.WHOLE ? Integer.MAX_VALUE : LARGEST;
            if (!(Math.abs(number) <= most)) {
                throw new JsonException(path + " is out of range");
            }
            if (!range.holds(number)) {
                throw new JsonException(path + " must be " + range.words + ", not " + value);
            }
        }
        if (!known.isEmpty() && !known.contains(value)) {
            throw new JsonException(
                    path + " must be " + String.join(" or ", known) + ", not " + value);
        }
    }

    /** The bounds of a number, with the words that tell them. */
    private static final class Range {
        final String words;
        private final Range before;
        private final String kind;
        private final double limit;

        Range() {
            before = null;
            kind = "";
            limit = 0;
            words = "";
        }

        Range(Range before, String kind, double limit) {
            this.before = before;
            this.kind = kind;
            this.limit = limit;
            String shown = limit == Math.rint(limit) ? "" + (long) limit : "" + limit;
            words = (before.words.isEmpty() ? "" : before.words + " and ") + kind + " " + shown;
        }

        boolean holds(double number) {
            switch (kind) {
                case "above":
                    return number > limit && before.holds(number);
                case "at least":
                    return number >= limit && before.holds(number);
                case "below":
                    return number < limit && before.holds(number);
                case "at most":
                    return number <= limit && before.holds(number);
                default:
                    return true;
            }
        }
    }
}
