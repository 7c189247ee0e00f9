// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/** Merging of events into a history: the rules of Recommender.add in device/state/history.py. */
final class History {
    private History() {}

    /**
     * The state with new events merged in by time; events of equal time keep their order, the old
     * ones first.
     *
     * <p>An event that has the item and the time of one in the history is the same event and is
     * left out, as often as the history has it. Items that the vocabulary lacks (row 0) are left
     * out. Times of a clock in another unit than the cut-off's are brought to it.
     *
     * @param old the state
     * @param events the events
     * @param rows their item rows; 0 = unknown
     * @param cutOff of the manifest; null = none
     * @param limit events after this time lie in the future and are not the latest; see {@link
     *     Clock}
     */
    static PersonalState merged(
            PersonalState old, List<Event> events, int[] rows, Double cutOff, double limit) {
        int[] oldRows = old.rawRows();
        double[] oldTimes = old.rawTimes();
        Map<String, Integer> known = new HashMap<>();
        for (int place = 0; place < oldRows.length; place++) {
            known.merge(key(oldRows[place], oldTimes[place]), 1, Integer::sum);
        }
        double floor = cutOff == null ? 0.0 : cutOff;
        int past = until(oldTimes, limit);
        double latest =
                past > 0
                        ? oldTimes[past - 1]
                        : cutOff == null ? Double.NEGATIVE_INFINITY : cutOff;
        int[] allRows = Arrays.copyOf(oldRows, oldRows.length + rows.length);
        double[] allTimes = Arrays.copyOf(oldTimes, oldRows.length + rows.length);
        int count = oldRows.length;
        for (int place = 0; place < rows.length; place++) {
            Double given = events.get(place).time;
            double time =
                    given == null ? Math.max(latest, floor) : Clock.inUnitOf(given, cutOff);
            if (given != null && known.getOrDefault(key(rows[place], time), 0) > 0) {
                known.merge(key(rows[place], time), -1, Integer::sum);
                continue;
            }
            if (given == null || (rows[place] != Contract.PADDING && time <= limit)) {
                latest = Math.max(latest, time); // batches give what one go gives
            }
            if (rows[place] != Contract.PADDING) {
                allRows[count] = rows[place];
                allTimes[count++] = time;
            }
        }
        Integer[] order = new Integer[count];
        Arrays.setAll(order, place -> place);
        Arrays.sort(order, Comparator.comparingDouble(place -> allTimes[place])); // stable
        int[] mergedRows = new int[count];
        double[] mergedTimes = new double[count];
        int seen = 0; // how many of the first events count as trained on
        for (int place = 0; place < count; place++) {
            mergedRows[place] = allRows[order[place]];
            mergedTimes[place] = allTimes[order[place]];
            seen = order[place] < old.trained ? place + 1 : seen;
        }
        return old.withHistory(mergedRows, mergedTimes, seen);
    }

    /**
     * The state without some events: of one without a time all of its item.
     *
     * @param forgotten rows of their items
     */
    static PersonalState without(PersonalState state, List<Event> wanted, int[] forgotten) {
        int[] rows = state.rows();
        double[] times = state.times();
        int count = 0;
        for (int place = 0; place < rows.length; place++) {
            boolean gone = false;
            for (int one = 0; one < forgotten.length; one++) {
                Double time = wanted.get(one).time;
                gone |= rows[place] == forgotten[one] && (time == null || times[place] == time);
            }
            if (!gone) {
                rows[count] = rows[place];
                times[count++] = times[place];
            }
        }
        return state.withHistory(Arrays.copyOf(rows, count), Arrays.copyOf(times, count), 0);
    }

    /** How many of the times, which are sorted, are before a moment. */
    static int before(double[] times, double moment) {
        int count = times.length;
        while (count > 0 && times[count - 1] >= moment) {
            count--;
        }
        return count;
    }

    /** How many of the times, which are sorted, are no later than a limit. */
    static int until(double[] times, double limit) {
        int count = times.length;
        while (count > 0 && times[count - 1] > limit) {
            count--;
        }
        return count;
    }

    static String key(int row, double time) {
        return row + " " + (time + 0.0);
    }
}
