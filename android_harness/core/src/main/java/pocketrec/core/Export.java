// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;

/** A user's own events as a CSV file, as device/store/export.py writes it. */
public final class Export {
    private static final double EXACT = 9007199254740992.0; // 2^53

    private Export() {}

    /**
     * Writes events, readable by their owner only, by time: {@code item,timestamp}, and a column
     * {@code category} where one is known. An event without a time gets the latest one before it;
     * where none has a time there is no such column.
     *
     * @return their number
     * @throws StorageException it cannot be written
     */
    public static int write(File path, List<Event> events) throws StorageException {
        double latest = Double.POSITIVE_INFINITY;
        boolean timed = false;
        boolean categories = false;
        for (Event event : events) {
            timed |= event.time != null;
            categories |= !event.category.isEmpty();
            latest = event.time == null ? latest : Math.min(latest, event.time);
        }
        latest = timed ? latest : 0;
        double[] times = new double[events.size()];
        Integer[] order = new Integer[times.length];
        for (int place = 0; place < times.length; place++) {
            Double time = events.get(place).time;
            latest = time == null ? latest : Math.max(latest, time);
            times[place] = time == null ? latest : time;
            order[place] = place;
        }
        Arrays.sort(order, Comparator.comparingDouble(place -> times[place])); // stable
        StringBuilder out = new StringBuilder("item");
        boolean column = timed || times.length == 0;
        out.append(column ? ",timestamp" : "").append(categories ? ",category\n" : "\n");
        for (int place : order) {
            List<String> fields = new ArrayList<>();
            fields.add(quoted(events.get(place).item));
            if (column) {
                fields.add(number(times[place]));
            }
            if (categories) {
                fields.add(quoted(events.get(place).category));
            }
            out.append(String.join(",", fields)).append('\n');
        }
        Storage.writeAtomic(path, Text.utf8(out.toString()), null);
        return times.length;
    }

    private static String number(double value) {
        boolean whole = value % 1 == 0 && Math.abs(value) < EXACT;
        return whole ? Long.toString((long) value) : Text.number(value);
    }

    private static String quoted(String field) {
        boolean plain = true;
        for (int place = 0; place < field.length(); place++) {
            plain &= ",\"\n\r".indexOf(field.charAt(place)) < 0;
        }
        return plain ? field : '"' + field.replace("\"", "\"\"") + '"';
    }
}
