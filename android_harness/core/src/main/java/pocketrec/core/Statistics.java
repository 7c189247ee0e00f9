// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;

/** Figures of a series of measurements. */
public final class Statistics {
    private Statistics() {}

    /**
     * A percentile with linear interpolation between neighbours, as numpy's.
     *
     * @param series at least one number, in any order
     * @param percent 0 to 100
     * @throws IllegalArgumentException the series is empty
     */
    public static double percentile(double[] series, double percent) {
        if (series.length == 0) {
            throw new IllegalArgumentException("a percentile needs at least one number");
        }
        double[] sorted = series.clone();
        Arrays.sort(sorted);
        double place = percent / 100 * (sorted.length - 1);
        int below = (int) Math.floor(place);
        int above = Math.min(below + 1, sorted.length - 1);
        return sorted[below] + (place - below) * (sorted[above] - sorted[below]);
    }

    /**
     * Counts of a series in {@code bins} equal parts of [low, high]; what lies outside goes into
     * the outermost ones.
     */
    public static int[] histogram(double[] series, double low, double high, int bins) {
        int[] counts = new int[bins];
        for (double one : series) {
            int bin = high > low ? (int) Math.floor((one - low) / (high - low) * bins) : 0;
            counts[Math.min(Math.max(bin, 0), bins - 1)]++;
        }
        return counts;
    }

    /**
     * Share of ranks (1 = best) that are at most {@code k}: Recall@k with one target each; 0 for an
     * empty series.
     */
    public static double recall(double[] ranks, int k) {
        return ranks.length == 0
                ? 0
                : Arrays.stream(ranks).filter(rank -> rank <= k).count() / (double) ranks.length;
    }

    /**
     * Mean of 1 / rank where the rank is at most {@code k}, else of 0: MRR@k; 0 for an empty
     * series.
     */
    public static double mrr(double[] ranks, int k) {
        return Arrays.stream(ranks).map(rank -> rank <= k ? 1 / rank : 0).average().orElse(0);
    }

    /** A number rounded to {@code digits} decimals, halves to even. */
    static double round(double value, int digits) {
        double scale = Math.pow(10, digits);
        return Math.rint(value * scale) / scale;
    }
}
