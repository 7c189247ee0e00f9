package pocketrec.core;

import java.util.Map;
import java.util.TreeMap;

/**
 * What this person comes back to: a bonus for items of the person's own history, the recent ones
 * most.
 *
 * <p>A continuous cache (Grave, Joulin and Usunier, ICLR 2017). With r = the sum over the item's
 * events of decay^(events since), an item's score is raised by strength * log(1 + 100 r). Off where
 * strength is 0.
 */
public final class Repeats {
    private static final double SHARPNESS = 100.0;
    private static final double NEGLIGIBLE =
            1e-6; // share of the latest event's weight under which older ones are passed over

    /** Bonus for each nat of log(1 + 100 r), at least 0; 0 = off. */
    public final double strength;

    /** Weight of an event relative to the next one, in (0, 1). */
    public final double decay;

    Repeats(double strength, double decay) {
        this.strength = strength;
        this.decay = decay;
    }

    static Repeats of(Table table) throws JsonException {
        Repeats repeats = new Repeats(table.number("strength", 0.0), table.number("decay", 0.8));
        table.end("repeats");
        if (!(repeats.strength >= 0 && repeats.decay > 0 && repeats.decay < 1)) {
            throw new JsonException("repeats: strength must be at least 0 and decay lie in (0, 1)");
        }
        return repeats;
    }

    /** The same with {@code share} of the strength. */
    Repeats times(double share) {
        return new Repeats(strength * share, decay);
    }

    /**
     * Bonus of each item row of a history (int [n], oldest first, no 0), ascending by row; all
     * other items have none.
     */
    Map<Integer, Float> bonus(int[] rows) {
        int latest = (int) Math.ceil(Math.log(NEGLIGIBLE) / Math.log(decay));
        Map<Integer, Double> recency = new TreeMap<>();
        for (int place = Math.max(0, rows.length - latest); place < rows.length; place++) {
            recency.merge(rows[place], Math.pow(decay, rows.length - 1 - place), Double::sum);
        }
        Map<Integer, Float> bonus = new TreeMap<>();
        for (Map.Entry<Integer, Double> entry : recency.entrySet()) {
            bonus.put(
                    entry.getKey(), (float) (strength * Math.log1p(SHARPNESS * entry.getValue())));
        }
        return bonus;
    }

    /**
     * Raises scores, float [c], of candidate rows, int [c], in place, after the history {@code
     * rows}.
     */
    void addTo(float[] scores, int[] candidates, int[] rows) {
        if (strength == 0 || rows.length == 0) {
            return;
        }
        Map<Integer, Float> bonus = bonus(rows);
        for (int place = 0; place < candidates.length; place++) {
            scores[place] += bonus.getOrDefault(candidates[place], 0f);
        }
    }

    /** Raises the scores, float [N + 1], of all rows in place, after the history {@code rows}. */
    void addToCatalogue(float[] scores, int[] rows) {
        if (strength == 0) {
            return;
        }
        for (Map.Entry<Integer, Float> entry : bonus(rows).entrySet()) {
            scores[entry.getKey()] += entry.getValue();
        }
    }
}
