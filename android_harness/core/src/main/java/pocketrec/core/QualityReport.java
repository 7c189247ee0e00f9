// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * How well this device has recommended ({@link Recommender#quality}); nothing of it leaves the
 * device unless the application sends it.
 */
public final class QualityReport {
    /** Length of the lists that the figures are about. */
    public final int k;

    /** Ranked events that the figures are about, the latest ones. */
    public final int events;

    /** Events ranked so far. */
    public final int ranked;

    /** Events that were not ranked, because too many were new at once. */
    public final int passed;

    /**
     * Share of the events whose item was among the first k, by {@code global} and by {@code
     * personal} (the weights in use).
     */
    public final Map<String, Double> recall;

    /** Mean of 1 / rank, 0 beyond k, by the same. */
    public final Map<String, Double> mrr;

    /** Events that the weights in use ranked better than the global ones. */
    public final int better;

    /** Events that they ranked worse. */
    public final int worse;

    /**
     * How strongly all that was ranked speaks against the weights in use; at 500 the global ones
     * are used.
     */
    public final double evidence;

    /** Largest share of the personal weights that the guard may choose now. */
    public final double most;

    /** The guard's latest decisions and returns to the global weights, the oldest first. */
    public final List<Map<String, Object>> decisions;

    /**
     * @param ranks int [n][2], rank by the global weights and by those in use; 0 = a miss
     */
    QualityReport(Quality quality, int k, int[][] ranks) {
        this.k = k;
        events = ranks.length;
        ranked = quality.ranked;
        passed = quality.passed;
        double[] hits = new double[2];
        double[] sums = new double[2];
        int[] differ = new int[2];
        for (int[] pair : ranks) {
            double[] values = new double[2];
            for (int side = 0; side < 2; side++) {
                boolean hit = pair[side] > 0 && pair[side] <= k;
                values[side] = hit ? 1.0 / pair[side] : 0.0;
                hits[side] += hit ? 1 : 0;
                sums[side] += values[side];
            }
            differ[0] += values[1] > values[0] ? 1 : 0;
            differ[1] += values[1] < values[0] ? 1 : 0;
        }
        recall = means(hits, events);
        mrr = means(sums, events);
        better = differ[0];
        worse = differ[1];
        evidence = quality.watch.evidence();
        most = quality.watch.most;
        decisions = Collections.unmodifiableList(quality.decisions);
    }

    private static Map<String, Double> means(double[] sums, int count) {
        Map<String, Double> means = new LinkedHashMap<>();
        means.put("global", count == 0 ? 0.0 : sums[0] / count);
        means.put("personal", count == 0 ? 0.0 : sums[1] / count);
        return Collections.unmodifiableMap(means);
    }

    /** Values for JSON, under the Python runner's names. */
    public Map<String, Object> toMap() {
        Map<String, Object> map = new LinkedHashMap<>();
        map.put("k", (long) k);
        map.put("events", (long) events);
        map.put("ranked", (long) ranked);
        map.put("passed", (long) passed);
        map.put("recall", recall);
        map.put("mrr", mrr);
        map.put("better", (long) better);
        map.put("worse", (long) worse);
        map.put("evidence", evidence);
        map.put("most", most);
        map.put("decisions", decisions);
        return map;
    }
}
