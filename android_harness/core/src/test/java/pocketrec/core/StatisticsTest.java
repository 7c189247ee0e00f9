// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

class StatisticsTest {
    @Test
    void percentilesInterpolate() {
        double[] series = {4, 1, 3, 2};
        assertEquals(2.5, Statistics.percentile(series, 50), 1e-12);
        assertEquals(3.7, Statistics.percentile(series, 90), 1e-12);
        assertEquals(4, Statistics.percentile(series, 100), 0);
        assertEquals(7, Statistics.percentile(new double[] {7}, 99), 0);
        assertThrows(
                IllegalArgumentException.class, () -> Statistics.percentile(new double[0], 50));
    }

    @Test
    void countsAndMetrics() {
        assertArrayEquals(
                new int[] {2, 0, 1, 2},
                Statistics.histogram(new double[] {0, -1, 5, 8, 9}, 0, 8, 4));
        double[] ranks = {1, 2, 30};
        assertEquals(2 / 3.0, Statistics.recall(ranks, 20), 1e-12);
        assertEquals(0.5, Statistics.mrr(ranks, 20), 1e-12);
    }
}
