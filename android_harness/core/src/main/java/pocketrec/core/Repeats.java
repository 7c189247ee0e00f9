// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.HashMap;
import java.util.Map;
import java.util.TreeMap;

/**
 * What this person comes back to: a bonus for items of the person's own history, the recent ones
 * most.
 *
 * <p>A continuous cache (Grave, Joulin and Usunier, ICLR 2017). With a = the events since an event,
 * s = the seconds from it to the moment of asking (s0 for the latest), r = the sum over the item's
 * events of decay^a (1 + a)^-power ((60 + s0) / (60 + s))^timePower, and q = the sum of (1 +
 * a)^-1/2 over those that came right after the item of the latest event, an item's score is raised
 * by strength * max(0, 1 + slope * log(1 + n)) * (log(1 + 100 r e^(headroom d)) + follows * log(1 +
 * 100 q)), where n = the events of the history and d = the best score of what is ranked less the
 * item's own. Off where strength is 0.
 */
public final class Repeats {
    private static final double SHARPNESS = 100.0;
    private static final double SECONDS = 60.0; // under which two events count as of one time
    private static final double NEGLIGIBLE =
            1e-6; // share of the latest event's weight under which older ones are passed over

    /** Bonus for each nat of log(1 + 100 r), at least 0; 0 = off. */
    public final double strength;

    /** Weight of an event relative to the next one, in (0, 1]. */
    public final double decay;

    /** Exponent with which an event's weight falls with its age, at least 0. */
    public final double power;

    /** Bonus for what followed the latest item, as a share of the strength, at least 0. */
    public final double follows;

    /**
     * Exponent with which an event's weight falls with the seconds since, at least 0; 0 = times are
     * not looked at.
     */
    public final double timePower;

    /** Change of the strength for each e-fold of 1 + the history's events, as a share of it. */
    public final double slope;

    /**
     * Exponent with which the bonus grows with how far an item's score lies below the best, in [0,
     * 1]; 0 = scores are not looked at.
     */
    public final double headroom;

    Repeats(double strength, double decay, double power, double follows, double timePower) {
        this(strength, decay, power, follows, timePower, 0, 0);
    }

    Repeats(
            double strength,
            double decay,
            double power,
            double follows,
            double timePower,
            double slope,
            double headroom) {
        this.strength = strength;
        this.decay = decay;
        this.power = power;
        this.follows = follows;
        this.timePower = timePower;
        this.slope = slope;
        this.headroom = headroom;
    }

    static Repeats of(Fields fields) {
        return new Repeats(
                fields.number("strength"),
                fields.number("decay"),
                fields.number("power"),
                fields.number("follows"),
                fields.number("time_power"),
                fields.number("slope"),
                fields.number("headroom"));
    }

    /** The same with {@code share} of the strength. */
    Repeats times(double share) {
        return new Repeats(
                strength * share, decay, power, follows, timePower, slope, headroom);
    }

    /**
     * Seconds from each event to the moment {@code now}, which is not earlier than the latest one.
     *
     * <p>Times are Unix seconds, milliseconds, microseconds or nanoseconds, which their size tells.
     * Where they are no clock's, the moment counts as the latest event's time, and the gaps are in
     * the log's unit.
     *
     * @param times double [n], not decreasing, of which the first {@code events} count
     * @param now Unix time in any of these units
     * @return double [events]
     */
    static double[] gapsAt(double[] times, int events, double now) {
        double latest = events > 0 ? times[events - 1] : 0.0;
        double unit = Clock.perSecond(latest);
        double asked = unit > 0 ? Math.max(Clock.inUnitOf(now, latest), latest) : latest;
        double[] gaps = new double[events];
        for (int place = 0; place < events; place++) {
            gaps[place] = (asked - times[place]) / (unit > 0 ? unit : 1.0);
        }
        return gaps;
    }

    /** The strength after a history of so many events, at least 0. */
    double strengthAfter(int events) {
        return slope == 0 ? strength : strength * Math.max(0, 1 + slope * Math.log1p(events));
    }

    /**
     * Bonus of each item row of a history, ascending by row; all other items have none.
     *
     * @param rows int [n], oldest first, no 0
     * @param gaps double [n], see {@link #gapsAt}; null = times are not looked at
     * @param below how far the score of each row lies below the best; rows that are not in it count
     *     as best
     */
    private Map<Integer, Float> bonus(int[] rows, double[] gaps, Map<Integer, Double> below) {
        Map<Integer, Double> recency = new TreeMap<>();
        Map<Integer, Double> followed = new TreeMap<>();
        int first = rows.length - reach(rows.length);
        for (int place = first; place < rows.length; place++) {
            int age = rows.length - 1 - place;
            double weight = Math.pow(decay, age) * Math.pow(1.0 + age, -power);
            if (timePower > 0 && gaps != null) {
                double latest = SECONDS + gaps[gaps.length - 1];
                weight *= Math.pow(latest / (SECONDS + gaps[place]), timePower);
            }
            recency.merge(rows[place], weight, Double::sum);
            if (place > first && rows[place - 1] == rows[rows.length - 1]) {
                followed.merge(rows[place], Math.pow(1.0 + age, -0.5), Double::sum);
            }
        }
        Map<Integer, Float> bonus = new TreeMap<>();
        double full = strengthAfter(rows.length);
        for (Map.Entry<Integer, Double> entry : recency.entrySet()) {
            double raised = raised(entry.getValue(), below.getOrDefault(entry.getKey(), 0.0));
            if (follows > 0) {
                double after = followed.getOrDefault(entry.getKey(), 0.0);
                raised += follows * Math.log1p(SHARPNESS * after);
            }
            bonus.put(entry.getKey(), (float) (full * raised));
        }
        return bonus;
    }

    /** log(1 + 100 recency e^(headroom below)), without overflow. */
    private double raised(double recency, double below) {
        if (headroom == 0) {
            return Math.log1p(SHARPNESS * recency);
        }
        double power = Math.log(SHARPNESS * recency) + headroom * below;
        return Math.max(0, power) + Math.log1p(Math.exp(-Math.abs(power)));
    }

    /** How many of the latest events count; older ones weigh less than NEGLIGIBLE. */
    private int reach(int events) {
        double reach = events;
        if (decay < 1) {
            reach = Math.min(reach, Math.ceil(Math.log(NEGLIGIBLE) / Math.log(decay)));
        }
        if (power > 1) {
            reach = Math.min(reach, Math.ceil(Math.pow(NEGLIGIBLE, -1 / power)));
        }
        return (int) reach;
    }

    /**
     * Raises scores, float [c], of candidate rows, int [c], in place, after the history {@code
     * rows}; see {@link #bonus}. The best score is that of the candidates.
     */
    void addTo(float[] scores, int[] candidates, int[] rows, double[] gaps) {
        if (strength == 0 || rows.length == 0) {
            return;
        }
        Map<Integer, Double> below = new HashMap<>();
        if (headroom > 0) {
            double best = best(scores, 0);
            for (int place = 0; place < candidates.length; place++) {
                below.put(candidates[place], best - scores[place]);
            }
        }
        Map<Integer, Float> bonus = bonus(rows, gaps, below);
        for (int place = 0; place < candidates.length; place++) {
            scores[place] += bonus.getOrDefault(candidates[place], 0f);
        }
    }

    /**
     * Raises the scores, float [N + 1], of all rows in place, after the history {@code rows}; see
     * {@link #bonus}.
     */
    void addToCatalogue(float[] scores, int[] rows, double[] gaps) {
        if (strength == 0) {
            return;
        }
        Map<Integer, Double> below = new HashMap<>();
        if (headroom > 0) {
            double best = best(scores, 1);
            for (int row : rows) {
                below.put(row, best - scores[row]);
            }
        }
        for (Map.Entry<Integer, Float> entry : bonus(rows, gaps, below).entrySet()) {
            scores[entry.getKey()] += entry.getValue();
        }
    }

    private static double best(float[] scores, int first) {
        double best = Double.NEGATIVE_INFINITY;
        for (int place = first; place < scores.length; place++) {
            best = Math.max(best, scores[place]);
        }
        return best;
    }
}
