// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.CodingErrorAction;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A strict JSON reader and a writer whose text equals that of Python's {@code json.dumps}.
 *
 * <p>Values are {@code Map<String, Object>} (in the order read), {@code List<Object>}, {@link
 * String}, {@link Long} or {@link BigInteger} (a number without point and exponent), {@link
 * Double}, {@link Boolean} and {@code null}. Refused are: NaN and Infinity, names that occur twice,
 * whole numbers of more than 1,000 digits, control characters in texts, more than {@value #DEEPEST}
 * levels, and anything after the document.
 */
public final class Json {
    /** Levels of nesting that are read. */
    static final int DEEPEST = 100;

    private static final int MOST_DIGITS = 1000; // of a whole number

    private final String text;
    private int at;

    private Json(String text) {
        this.text = text;
    }

    /**
     * Reads a UTF-8 document.
     *
     * @throws JsonException it is not UTF-8, or not JSON
     */
    public static Object parse(byte[] document) throws JsonException {
        try {
            return parse(
                    StandardCharsets.UTF_8
                            .newDecoder()
                            .onMalformedInput(CodingErrorAction.REPORT)
                            .onUnmappableCharacter(CodingErrorAction.REPORT)
                            .decode(ByteBuffer.wrap(document))
                            .toString());
        } catch (CharacterCodingException error) {
            throw new JsonException("it is not UTF-8");
        }
    }

    /**
     * Reads a document.
     *
     * @throws JsonException it is not JSON
     */
    public static Object parse(String document) throws JsonException {
        Json reader = new Json(document);
        Object value = reader.value(0);
        reader.space();
        if (reader.at < document.length()) {
            throw reader.error("there is more after the end of the document");
        }
        return value;
    }

    /**
     * The text of a value on one line, names in their own order.
     *
     * @throws IllegalArgumentException a value is of no JSON type, or a number is not finite
     */
    public static String write(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, ", ", ": ", false);
        return out.toString();
    }

    /** As {@link #write}, without blanks. */
    public static String compact(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, ",", ":", false);
        return out.toString();
    }

    /**
     * As {@link #write}, without blanks and with sorted names: equal values give equal texts, fit
     * for hashing.
     */
    public static String canonical(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, ",", ":", true);
        return out.toString();
    }

    /**
     * As {@link #write}, with sorted names: the text under which Python's fingerprints of trainings
     * are made.
     */
    static String spaced(Object value) {
        StringBuilder out = new StringBuilder();
        write(out, value, ", ", ": ", true);
        return out.toString();
    }

    /** The content of a JSON file as Python writes it: indented by one, a line feed at its end. */
    public static byte[] document(Object value) {
        StringBuilder out = new StringBuilder();
        indent(out, value, "\n");
        return Text.utf8(out.append('\n').toString());
    }

    // --- reading ---

    private Object value(int depth) throws JsonException {
        if (depth > DEEPEST) {
            throw error("it is nested too deeply");
        }
        space();
        switch (peek()) {
            case '{':
                return object(depth);
            case '[':
                return array(depth);
            case '"':
                return string();
            case 't':
                return word("true", Boolean.TRUE);
            case 'f':
                return word("false", Boolean.FALSE);
            case 'n':
                return word("null", null);
            default:
                return number();
        }
    }

    private Map<String, Object> object(int depth) throws JsonException {
        Map<String, Object> map = new LinkedHashMap<>();
        at++;
        space();
        if (peek() == '}') {
            at++;
            return map;
        }
        while (true) {
            space();
            if (peek() != '"') {
                throw error("a name in quotes is expected");
            }
            String name = string();
            space();
            expect(':');
            Object value = value(depth + 1);
            if (map.containsKey(name)) {
                throw error("the name " + name + " occurs twice");
            }
            map.put(name, value);
            space();
            if (peek() == '}') {
                at++;
                return map;
            }
            expect(',');
        }
    }

    private List<Object> array(int depth) throws JsonException {
        List<Object> list = new ArrayList<>();
        at++;
        space();
        if (peek() == ']') {
            at++;
            return list;
        }
        while (true) {
            list.add(value(depth + 1));
            space();
            if (peek() == ']') {
                at++;
                return list;
            }
            expect(',');
        }
    }

    private String string() throws JsonException {
        StringBuilder out = new StringBuilder();
        at++;
        while (true) {
            char next = take();
            if (next == '"') {
                return out.toString();
            }
            if (next < ' ') {
                throw error("a control character stands in a text");
            }
            out.append(next == '\\' ? escaped() : next);
        }
    }

    private char escaped() throws JsonException {
        char next = take();
        int place = "\"\\/bfnrt".indexOf(next);
        if (place >= 0) {
            return "\"\\/\b\f\n\r\t".charAt(place);
        }
        if (next != 'u') {
            throw error("\\" + next + " is not an escape");
        }
        int code = 0;
        for (int digit = 0; digit < 4; digit++) {
            char hex = take();
            int one = hex < 128 ? Character.digit(hex, 16) : -1;
            if (one < 0) {
                throw error("\\u needs four hexadecimal digits");
            }
            code = code << 4 | one;
        }
        return (char) code;
    }

    private Object number() throws JsonException {
        int start = at;
        if (peek() == '-') {
            at++;
        }
        int first = at;
        digits();
        if (text.charAt(first) == '0' && at > first + 1) {
            throw error("a number begins with 0");
        }
        boolean whole = true;
        if (peek() == '.') {
            whole = false;
            at++;
            digits();
        }
        if (peek() == 'e' || peek() == 'E') {
            whole = false;
            at++;
            if (peek() == '+' || peek() == '-') {
                at++;
            }
            digits();
        }
        String number = text.substring(start, at);
        try {
            if (whole) {
                return Long.valueOf(number);
            }
            double value = Double.parseDouble(number);
            if (!Double.isInfinite(value)) {
                return value;
            }
        } catch (NumberFormatException error) {
            if (number.length() <= MOST_DIGITS) {
                return new BigInteger(number);
            }
        }
        throw error("the number " + number + " is too large");
    }

    private void digits() throws JsonException {
        int start = at;
        while (peek() >= '0' && peek() <= '9') {
            at++;
        }
        if (at == start) {
            throw error("a value is expected");
        }
    }

    private Object word(String word, Object value) throws JsonException {
        if (!text.startsWith(word, at)) {
            throw error("a value is expected");
        }
        at += word.length();
        return value;
    }

    private void space() {
        while (at < text.length() && " \t\n\r".indexOf(text.charAt(at)) >= 0) {
            at++;
        }
    }

    private char peek() {
        return at < text.length() ? text.charAt(at) : '\0';
    }

    private char take() throws JsonException {
        if (at >= text.length()) {
            throw error("it ends too early");
        }
        return text.charAt(at++);
    }

    private void expect(char wanted) throws JsonException {
        if (peek() != wanted) {
            throw error(at >= text.length() ? "it ends too early" : "'" + wanted + "' is expected");
        }
        at++;
    }

    private JsonException error(String reason) {
        return new JsonException(reason + " (character " + at + ")");
    }

    // --- writing ---

    private static void write(
            StringBuilder out, Object value, String comma, String colon, boolean sorted) {
        if (value == null
                || value instanceof Boolean
                || value instanceof Long
                || value instanceof Integer
                || value instanceof BigInteger) { // also one that no double can hold
            out.append(value);
        } else if (value instanceof Number) {
            if (Double.isNaN(((Number) value).doubleValue())
                    || Double.isInfinite(((Number) value).doubleValue())) {
                throw new IllegalArgumentException(value + " has no place in JSON");
            }
            out.append(
                    value instanceof Double ? Text.number((Double) value) : String.valueOf(value));
        } else if (value instanceof CharSequence) {
            quote(out, (CharSequence) value);
        } else if (value instanceof Map) {
            String between = "{";
            Map<?, ?> map = sorted ? new TreeMap<>((Map<?, ?>) value) : (Map<?, ?>) value;
            for (Map.Entry<?, ?> entry : map.entrySet()) {
                quote(out.append(between), (String) entry.getKey());
                write(out.append(colon), entry.getValue(), comma, colon, sorted);
                between = comma;
            }
            out.append(map.isEmpty() ? "{}" : "}");
        } else if (value instanceof Iterable) {
            out.append('[');
            String between = "";
            for (Object one : (Iterable<?>) value) {
                write(out.append(between), one, comma, colon, sorted);
                between = comma;
            }
            out.append(']');
        } else {
            throw new IllegalArgumentException(value.getClass() + " has no place in JSON");
        }
    }

    private static void indent(StringBuilder out, Object value, String line) {
        String between = line + " ";
        if (value instanceof Map && !((Map<?, ?>) value).isEmpty()) {
            out.append('{');
            String comma = "";
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                quote(out.append(comma).append(between), (String) entry.getKey());
                indent(out.append(": "), entry.getValue(), between);
                comma = ",";
            }
            out.append(line).append('}');
        } else if (value instanceof List && !((List<?>) value).isEmpty()) {
            out.append('[');
            String comma = "";
            for (Object one : (List<?>) value) {
                indent(out.append(comma).append(between), one, between);
                comma = ",";
            }
            out.append(line).append(']');
        } else {
            write(out, value, ", ", ": ", false);
        }
    }

    private static void quote(StringBuilder out, CharSequence text) {
        out.append('"');
        for (int place = 0; place < text.length(); place++) {
            char one = text.charAt(place);
            int escape = "\"\\\b\f\n\r\t".indexOf(one);
            if (escape >= 0) {
                out.append('\\').append("\"\\bfnrt".charAt(escape));
            } else if (one < ' ' || one > '~') {
                out.append(String.format("\\u%04x", (int) one));
            } else {
                out.append(one);
            }
        }
        out.append('"');
    }
}
