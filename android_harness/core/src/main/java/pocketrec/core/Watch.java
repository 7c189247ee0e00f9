// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Whether personal weights have ranked worse than the global ones for long: a sequential test that
 * never ends (an e-CUSUM). The rules and the reasons are those of device/personal/watch.py.
 */
final class Watch {
    /** Ranked events between two false alarms, on average at least. */
    static final int AVERAGE_RUN = 500;

    /** Ranked events without an alarm after which the guard may choose the next larger share. */
    static final int RECOVERY = 200;

    private static final double[] BETS = {0.25, 0.5, 0.75, 0.95};
    private static final double[] RUNGS = {0.0, 0.25, 0.5, 1.0};

    private final double[] values;

    /** Largest share of the personal weights that the guard may choose. */
    final double most;

    private final int since; // events that counted since it was changed

    /** The beginning. */
    Watch() {
        this(beginning(), 1.0, 0);
    }

    private Watch(double[] values, double most, int since) {
        this.values = values;
        this.most = most;
        this.since = since;
    }

    private static double[] beginning() {
        return new double[] {1.0, 1.0, 1.0, 1.0};
    }

    /** How strongly the ranked events speak against the personal weights; 1 = not at all. */
    double evidence() {
        double sum = 0;
        for (double value : values) {
            sum += value;
        }
        return sum / values.length;
    }

    /** Whether the personal weights have been worse for long. */
    boolean alarm() {
        return evidence() >= AVERAGE_RUN;
    }

    /** Whether no personal share may be chosen. */
    boolean globalAlone() {
        return most == RUNGS[0];
    }

    /**
     * The watch after some events.
     *
     * @param differences reciprocal rank by the weights in use less that by the global ones, each
     *     in [-1, 1]
     */
    Watch after(double[] differences) {
        Watch watch = this;
        for (double difference : differences) {
            if (watch.alarm()) {
                break;
            }
            double[] next = new double[BETS.length];
            for (int bet = 0; bet < BETS.length; bet++) {
                next[bet] = Math.max(1.0, watch.values[bet]) * (1.0 - BETS[bet] * difference);
            }
            boolean risen =
                    watch.most < RUNGS[RUNGS.length - 1] && watch.since + 1 >= RECOVERY;
            watch =
                    new Watch(
                            next,
                            risen ? above(watch.most) : watch.most,
                            risen ? 0 : watch.since + 1);
        }
        return watch;
    }

    private static double above(double most) {
        int place = 0;
        while (RUNGS[place] <= most) {
            place++;
        }
        return RUNGS[place];
    }

    /** The watch after an alarm about weights of that share; the guard may choose less. */
    Watch returned(double share) {
        double lower = RUNGS[0];
        for (double rung : RUNGS) {
            lower = rung < Math.min(share, most) ? rung : lower;
        }
        return new Watch(beginning(), lower, 0);
    }

    /** The watch of another model; the cap stays. */
    Watch anew() {
        return new Watch(beginning(), most, since);
    }

    /** Values for JSON, under the Python runner's names. */
    Map<String, Object> toMap() {
        List<Object> list = new ArrayList<>();
        for (double value : values) {
            list.add(value);
        }
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("values", list);
        map.put("most", most);
        map.put("since", (long) since);
        return map;
    }

    /** The inverse of {@link #toMap}. */
    static Watch of(Table table) throws JsonException {
        List<Double> told = table.numbers("values");
        double[] values = new double[told.size()];
        boolean good = values.length == BETS.length;
        for (int place = 0; place < values.length; place++) {
            values[place] = told.get(place);
            good &= values[place] > 0 && values[place] < Double.POSITIVE_INFINITY;
        }
        double most = table.number("most");
        boolean rung = false;
        for (double one : RUNGS) {
            rung |= one == most;
        }
        if (!good || !rung) {
            throw new JsonException("the watch has values that are out of range");
        }
        return new Watch(values, most, table.whole("since", 0, 0));
    }
}
