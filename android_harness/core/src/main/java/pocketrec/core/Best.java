// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.PriorityQueue;

/** The best k of any number of scored rows; of equal scores the smaller row is better. */
final class Best {
    private static final Comparator<Scored> WORST_FIRST =
            Comparator.<Scored>comparingDouble(one -> one.score)
                    .thenComparing(Comparator.<Scored>comparingInt(one -> one.row).reversed());

    private static final class Scored {
        final int row;
        final float score;

        Scored(int row, float score) {
            this.row = row;
            this.score = score;
        }
    }

    private final int most;
    private final PriorityQueue<Scored> kept = new PriorityQueue<>(WORST_FIRST);

    Best(int most) {
        this.most = most;
    }

    /** Takes rows, int [n], with their scores, float [n]. */
    void add(int[] rows, float[] scores) {
        for (int place = 0; place < rows.length; place++) {
            if (kept.size() < most || scores[place] >= kept.peek().score) {
                kept.add(new Scored(rows[place], scores[place]));
                if (kept.size() > most) {
                    kept.poll();
                }
            }
        }
    }

    int size() {
        return kept.size();
    }

    /** What a row has to reach; below all numbers while there are fewer than k. */
    float floor() {
        return kept.size() < most ? Float.NEGATIVE_INFINITY : kept.peek().score;
    }

    /** The rows, best first. */
    int[] rows() {
        List<Scored> ordered = new ArrayList<>(kept);
        ordered.sort(WORST_FIRST.reversed());
        return ordered.stream().mapToInt(one -> one.row).toArray();
    }
}
