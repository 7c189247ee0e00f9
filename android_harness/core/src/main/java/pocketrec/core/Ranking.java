// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.Comparator;

/**
 * The order in which a user's items are recommended: scores from the model, what goes with what,
 * the bonus for repeats, ties by row; the rules of device/personal/ranking.py.
 */
final class Ranking {
    private final Bundle bundle;
    private final Model model;
    private final Repeats repeats;

    /** Rows and their scores, the best first. */
    static final class Ranked {
        final int[] rows;
        final float[] scores;

        Ranked(int[] rows, float[] scores) {
            this.rows = rows;
            this.scores = scores;
        }
    }

    /**
     * @param model with the user's weights
     * @param share of the personal weights, and of the bonus for repeats, that the user has
     */
    Ranking(Bundle bundle, Model model, double share) {
        this.bundle = bundle;
        this.model = model;
        repeats = bundle.recipe.repeats.times(share);
    }

    /**
     * The best {@code k} of some item rows.
     *
     * @param rows int [m], each once, no 0
     * @param history int [n], oldest first, n above 0
     * @param times double [n]
     * @param now moment of asking, Unix time
     * @throws StateException the weights give scores that are not numbers
     */
    Ranked best(int[] rows, int[] history, double[] times, double now, int k)
            throws PocketRecException {
        float[] scores = scores(rows, history, times, now);
        Integer[] order = new Integer[rows.length];
        Arrays.setAll(order, place -> place);
        Arrays.sort(
                order,
                Comparator.<Integer>comparingDouble(place -> -scores[place])
                        .thenComparingInt(place -> rows[place]));
        int count = Math.min(k, rows.length);
        Ranked best = new Ranked(new int[count], new float[count]);
        for (int place = 0; place < count; place++) {
            best.rows[place] = rows[order[place]];
            best.scores[place] = scores[order[place]];
        }
        return best;
    }

    private float[] scores(int[] rows, int[] history, double[] times, double now)
            throws PocketRecException {
        int[] items = Windows.context(history, model.window);
        float[] scores = model.ranked > 0 ? model.rank(items, rows) : inferred(items, rows);
        for (float score : scores) {
            if (Float.isNaN(score) || Float.isInfinite(score)) {
                throw new StateException(
                        "the weights give scores that are not numbers: reset the state, or fetch"
                                + " the bundle again");
            }
        }
        Neighbours neighbours = bundle.neighbours.get();
        if (neighbours != null) {
            neighbours.addTo(scores, rows, history);
        }
        repeats.addTo(scores, rows, history, Repeats.gapsAt(times, times.length, now));
        return scores;
    }

    /** Scores by the signature infer, as many rows at a time as it takes. */
    private float[] inferred(int[] items, int[] rows) throws PocketRecException {
        float[] scores = new float[rows.length];
        for (int start = 0; start < rows.length; start += model.candidates) {
            int count = Math.min(model.candidates, rows.length - start);
            int[] part =
                    Arrays.copyOf(Arrays.copyOfRange(rows, start, start + count), model.candidates);
            System.arraycopy(model.infer(items, part), 0, scores, start, count);
        }
        return scores;
    }
}
