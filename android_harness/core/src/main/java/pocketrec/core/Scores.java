// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.ByteBuffer;

/** Arithmetic on the scores of a whole catalogue. */
final class Scores {
    private Scores() {}

    /**
     * Inner products, float [N], of item embeddings, float [N][E], with a user embedding, float
     * [E].
     */
    static float[] innerProducts(float[][] table, float[] user) {
        float[] scores = new float[table.length];
        for (int row = 0; row < table.length; row++) {
            float[] item = table[row];
            double sum = 0;
            for (int place = 0; place < user.length; place++) {
                sum += item[place] * user[place];
            }
            scores[row] = (float) sum;
        }
        return scores;
    }

    /**
     * As the other, of the rows from {@code from} up to {@code to} of a table of int8 numbers, [N *
     * E], with a scale for each row, float [N].
     */
    static float[] innerProducts(
            ByteBuffer numbers, float[] scales, int from, int to, float[] user) {
        float[] scores = new float[to - from];
        for (int row = from; row < to; row++) {
            double sum = 0;
            for (int place = 0; place < user.length; place++) {
                sum += numbers.get(row * user.length + place) * user[place];
            }
            scores[row - from] = (float) sum * scales[row];
        }
        return scores;
    }

    /** log of the sum of exp of scores[from:], in nats. */
    static double logSumExp(float[] scores, int from) {
        double most = Double.NEGATIVE_INFINITY;
        for (int place = from; place < scores.length; place++) {
            most = Math.max(most, scores[place]);
        }
        double sum = 0;
        for (int place = from; place < scores.length; place++) {
            sum += Math.exp(scores[place] - most);
        }
        return most + Math.log(sum);
    }

    /** How many of scores[from:] are at least {@code own}: the rank, ties against it. */
    static int atLeast(float[] scores, int from, float own) {
        int count = 0;
        for (int place = from; place < scores.length; place++) {
            if (scores[place] >= own) {
                count++;
            }
        }
        return count;
    }
}
