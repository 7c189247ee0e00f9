// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;

class WindowsTest {
    @Test
    void everyTargetIsPredictedOnceAfterItsOwnPast() {
        for (int length = 0; length < 40; length++) {
            int[] rows = IntStream.rangeClosed(1, length).toArray(); // row = place + 1
            for (int first = 0; first < 5; first++) {
                for (int stride = 1; stride <= 4; stride++) {
                    Windows windows = Windows.training(rows, first, 4, 3, stride, 4);
                    List<Integer> seen = new ArrayList<>();
                    for (int step = 0; step < windows.steps(); step++) {
                        for (int place = 0; place < 12; place++) {
                            int target = windows.targets[step][place];
                            if (target > 0) {
                                seen.add(target);
                                assertEquals(target - 1, windows.items[step][place]);
                            }
                        }
                    }
                    int from = Math.max(1, first) + 1;
                    assertEquals(
                            IntStream.rangeClosed(from, length)
                                    .boxed()
                                    .collect(java.util.stream.Collectors.toList()),
                            seen);
                }
            }
        }
    }

    /** A model that sees both sides of an event: the target lies in no window of its own. */
    @Test
    void everyTargetHasAWindowOfItsOwnWhereAWindowHasOneTarget() {
        for (int length = 0; length < 20; length++) {
            int[] rows = IntStream.rangeClosed(1, length).toArray(); // row = place + 1
            for (int first = 0; first < 5; first++) {
                Windows windows = Windows.training(rows, first, 4, 3, 1, 1);
                int next = Math.max(1, first) + 1;
                for (int step = 0; step < windows.steps(); step++) {
                    for (int place = 0; place < 3; place++) {
                        int target = windows.targets[step][place];
                        int[] items =
                                Arrays.copyOfRange(
                                        windows.items[step], place * 4, place * 4 + 4);
                        if (target == 0) {
                            assertArrayEquals(new int[4], items);
                            continue;
                        }
                        assertEquals(next++, target);
                        int[] before = Arrays.copyOf(rows, target - 1);
                        assertArrayEquals(Windows.context(before, 4), items);
                    }
                }
                assertEquals(Math.max(length, Math.max(1, first)) + 1, next);
            }
        }
    }

    @Test
    void contextIsTheLatestEventsPadded() {
        assertArrayEquals(new int[] {3, 4, 5}, Windows.context(new int[] {1, 2, 3, 4, 5}, 3));
        assertArrayEquals(new int[] {1, 0, 0}, Windows.context(new int[] {1}, 3));
        assertArrayEquals(new int[3], Windows.context(new int[0], 3));
    }

    /** Expected numbers: numpy.random.default_rng((seed, step)).random(). */
    @Test
    void drawsAsNumpyDraws() {
        double[][] expected = {
            {0.7864194298403401, 0.8193507777125946, 0.10214813329203531},
            {0.6369616873214543, 0.2697867137638703, 0.04097352393619469},
            {0.8647362136388109, 0.2965868171354953, 0.19538806995986868},
            {0.8050029237453802, 0.8079407897364937, 0.515325561042142},
        };
        int[][] entropy = {{20210419, 0}, {0, 0}, {1, Integer.MAX_VALUE}, {5}};
        for (int place = 0; place < entropy.length; place++) {
            NumpyRandom random = new NumpyRandom(entropy[place]);
            for (double one : expected[place]) {
                assertEquals(one, random.nextDouble(), 0.0, Arrays.toString(entropy[place]));
            }
        }
        assertArrayEquals(
                new int[] {6, 1, 1, 21, 2, 1, 7, 36}, Windows.logUniform(8, 60, 20210419, 3));
    }

    @Test
    void permutationsAreNumpys() { // default_rng((20210419, 3, 1)).permutation
        NumpyRandom random = new NumpyRandom(20210419, 3, 1);
        assertArrayEquals(new int[] {1, 2, 0, 6, 3, 7, 4, 5, 8}, random.permutation(9));
        assertArrayEquals(new int[] {2, 3, 4, 1, 0}, random.permutation(5));
        assertArrayEquals(new int[0], random.permutation(0));
    }
}
