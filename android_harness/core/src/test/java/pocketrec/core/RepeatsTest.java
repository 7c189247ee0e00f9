// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RepeatsTest {
    private static final double BEGIN = 1.5e9;

    @Test
    void bonusFollowsTheFormula() {
        Repeats repeats = new Repeats(2, 0.5, 0, 0, 0);
        float[] scores = {1f, 1f, 1f};
        repeats.addTo(scores, new int[] {7, 9, 8}, new int[] {7, 8, 7}, new double[3]);
        float seven = (float) (1 + 2 * Math.log(1 + 100 * 1.25));
        float eight = (float) (1 + 2 * Math.log(1 + 100 * 0.5));
        assertArrayEquals(new float[] {seven, 1f, eight}, scores, 1e-6f);
    }

    @Test
    void powerAndFollowersFollowTheFormula() {
        Repeats repeats = new Repeats(2, 1, 1.5, 0.5, 0);
        float[] scores = {0f, 0f};
        repeats.addTo(scores, new int[] {3, 7}, new int[] {3, 9, 7, 3, 7}, new double[5]);
        double three = Math.pow(2, -1.5) + Math.pow(5, -1.5);
        double after = Math.log(1 + 100 * Math.pow(2, -0.5));
        assertEquals(2 * (Math.log(1 + 100 * three) + 0.5 * after), scores[0], 1e-5);
        assertEquals(2 * Math.log(1 + 100 * (1 + Math.pow(3, -1.5))), scores[1], 1e-5);
    }

    @Test
    void afterAPauseWhatLiesBeforeItIsOfOneAge() {
        Repeats repeats = new Repeats(2, 1, 0, 0, 0.5);
        double[] times = {BEGIN + 1000, BEGIN + 1540, BEGIN + 1600, 9};
        float[] scores = {0f, 0f};
        repeats.addTo(
                scores, new int[] {7, 8}, new int[] {7, 7, 8}, Repeats.gapsAt(times, 3, BEGIN + 1600));
        double seven = Math.sqrt(60.0 / 660) + Math.sqrt(60.0 / 120);
        assertEquals(2 * Math.log(1 + 100 * seven), scores[0], 1e-5);
        assertEquals(2 * Math.log(1 + 100), scores[1], 1e-5);
        repeats.addTo(
                scores = new float[2],
                new int[] {7, 8},
                new int[] {7, 7, 8},
                Repeats.gapsAt(times, 3, 4.9e9));
        assertEquals(2 * Math.log(1 + 100 * 2), scores[0], 1e-5);
        assertArrayEquals(new double[] {600, 60, 0}, Repeats.gapsAt(times, 3, -5));
    }

    @Test
    void aClockOfAnyUnitGivesSeconds() {
        double[] wanted = {840, 300, 240};
        for (double unit : new double[] {1, 1e3, 1e6, 1e9}) {
            double[] times = {
                (BEGIN + 1000) * unit, (BEGIN + 1540) * unit, (BEGIN + 1600) * unit
            };
            assertArrayEquals(wanted, Repeats.gapsAt(times, 3, BEGIN + 1840), 1e-6);
            assertArrayEquals(wanted, Repeats.gapsAt(times, 3, (BEGIN + 1840) * unit), 1e-6);
        }
    }

    @Test
    void timesOfTheirOwnStartAreAskedForAtTheLatestEvent() {
        double[] times = {1000, 1540, 1600};
        for (double now : new double[] {0, 1840, BEGIN, 1e15}) {
            assertArrayEquals(new double[] {600, 60, 0}, Repeats.gapsAt(times, 3, now));
        }
    }

    @Test
    void headroomAndSlopeFollowTheFormula() {
        Repeats repeats = new Repeats(2, 0.5, 0, 0, 0, -0.25, 0.5);
        float[] scores = {0f, 1f, 3f};
        repeats.addTo(scores, new int[] {5, 3, 7}, new int[] {7, 3, 7}, new double[3]);
        double strength = 2 * (1 - 0.25 * Math.log(4));
        assertEquals(0f, scores[0]);
        assertEquals(1 + strength * Math.log(1 + 100 * 0.5 * Math.E), scores[1], 1e-5);
        assertEquals(3 + strength * Math.log(1 + 100 * 1.25), scores[2], 1e-5);
        float[] all = {9f, -4f, 0f, 1f, 0f, 0f, 0f, 3f};
        repeats.addToCatalogue(all, new int[] {7, 3, 7}, new double[3]);
        assertEquals(scores[1], all[3], 1e-6);
        assertEquals(scores[2], all[7], 1e-6);
        assertEquals(0, repeats.strengthAfter(1000));
    }

    @Test
    void offWithoutStrengthOrHistory() {
        float[] scores = {1f};
        new Repeats(0, 0.5, 0, 0, 0).addTo(scores, new int[] {7}, new int[] {7}, new double[1]);
        new Repeats(2, 0.5, 0, 0, 0).addTo(scores, new int[] {7}, new int[0], new double[0]);
        assertEquals(1f, scores[0]);
    }

    @Test
    void servedSetsKeepTheirOrder() {
        int[] candidates = {3, 0, 1, 5};
        assertArrayEquals(
                new int[] {3, 1, 5, 9, 7}, Served.set(candidates, new int[] {7, 1, 9}, false));
        assertArrayEquals(new int[] {3, 5}, Served.set(candidates, new int[] {7, 1, 9}, true));
    }
}
