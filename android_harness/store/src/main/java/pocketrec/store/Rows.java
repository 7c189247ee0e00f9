// SPDX-License-Identifier: Apache-2.0
package pocketrec.store;

import pocketrec.core.Event;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.Seal;
import pocketrec.core.SealException;
import pocketrec.core.Storage;
import pocketrec.core.StoreException;
import pocketrec.core.Text;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One row of the event store: a mark by which equal events are known, and a value with a checksum
 * of its own. The form of device/store/rows.py: the value is JSON [item, time, nth] or [item, time,
 * nth, category, checksum of these four]; the mark is the checksum of the first three. With a key
 * both are sealed, and what is seen of an event is its length in steps of 32 bytes.
 */
final class Rows {
    private static final int CHECKSUM = 16; // bytes
    private static final int PADDING = 32; // what the length of a sealed event is a multiple of

    final byte[] mark;
    final Object value; // String, or byte[] where it is sealed

    private Rows(byte[] mark, Object value) {
        this.mark = mark;
        this.value = value;
    }

    /**
     * The row of an event.
     *
     * @param seal null = it lies in the clear
     * @param nth its number among the equal events of one batch, or a text for one without a time
     */
    static Rows encode(Seal seal, Event event, Object nth) {
        List<Object> fields = new ArrayList<>(Arrays.asList(event.item, event.time, nth));
        String marked = Json.compact(fields);
        String value = marked;
        if (!event.category.isEmpty()) {
            fields.add(event.category);
            fields.add(Storage.hex(checksum(Json.compact(fields))));
            value = Json.compact(fields);
        }
        if (seal == null) {
            return new Rows(checksum(marked), value);
        }
        byte[] mark = seal.mark(Text.utf8(marked));
        byte[] text = Text.utf8(value);
        int length = (text.length + PADDING - 1) / PADDING * PADDING;
        byte[] padded = Arrays.copyOf(text, length);
        Arrays.fill(padded, text.length, length, (byte) ' ');
        return new Rows(mark, seal.seal(padded, mark));
    }

    /**
     * The event of a row.
     *
     * @throws StoreException its checksum is wrong
     */
    static Event decode(Seal seal, File path, Object mark, Object value) throws StoreException {
        try {
            if (mark instanceof byte[] && (seal == null || value instanceof byte[])) {
                String text = seal == null ? (String) value : opened(seal, mark, value);
                List<?> fields = (List<?>) Json.parse(text);
                boolean good =
                        seal != null // whose tag has told already
                                || fields.size() == 3
                                        && Arrays.equals(checksum(text), (byte[]) mark)
                                || Arrays.equals(first(fields, 3), (byte[]) mark);
                if (fields.size() > 3) {
                    good &=
                            fields.size() == 5
                                    && Storage.hex(first(fields, 4)).equals(fields.get(4));
                }
                if (good) {
                    return event(fields);
                }
            }
        } catch (JsonException | SealException | RuntimeException error) {
            // falls through: not what was written
        }
        throw StoreErrors.damaged(path, "an event has a wrong checksum");
    }

    private static String opened(Seal seal, Object mark, Object value) throws SealException {
        byte[] text = seal.open((byte[]) value, (byte[]) mark);
        return new String(text, StandardCharsets.US_ASCII);
    }

    private static Event event(List<?> fields) {
        String item = (String) fields.get(0);
        Object time = fields.get(1);
        Event event =
                time == null ? new Event(item) : new Event(item, ((Number) time).doubleValue());
        return fields.size() == 3 ? event : event.ofCategory((String) fields.get(3));
    }

    private static byte[] first(List<?> fields, int count) {
        return checksum(Json.compact(fields.subList(0, count)));
    }

    private static byte[] checksum(String text) {
        return Blake2b.digest(Text.utf8(text), CHECKSUM);
    }
}
