package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

class RepeatsTest {
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
        double[] times = {1000, 1540, 1600, 9};
        float[] scores = {0f, 0f};
        repeats.addTo(
                scores, new int[] {7, 8}, new int[] {7, 7, 8}, Repeats.gapsAt(times, 3, 1600));
        double seven = Math.sqrt(60.0 / 660) + Math.sqrt(60.0 / 120);
        assertEquals(2 * Math.log(1 + 100 * seven), scores[0], 1e-5);
        assertEquals(2 * Math.log(1 + 100), scores[1], 1e-5);
        repeats.addTo(
                scores = new float[2],
                new int[] {7, 8},
                new int[] {7, 7, 8},
                Repeats.gapsAt(times, 3, 1e12));
        assertEquals(2 * Math.log(1 + 100 * 2), scores[0], 1e-5);
        assertArrayEquals(new double[] {600, 60, 0}, Repeats.gapsAt(times, 3, -5));
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
