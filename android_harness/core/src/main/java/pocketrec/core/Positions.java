// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.TreeSet;

/**
 * Train steps over user embeddings: those of a file whose ranker of a second stage trains, and
 * nothing that a user embedding depends on. A part of {@link Model}; the rules are those of
 * device/engine/two_stages.py.
 */
final class Positions {
    /** Targets P of a train step. */
    final int size;

    private final Model model;
    private final Signatures signatures;

    Positions(Model model, Signatures signatures) throws PocketRecException {
        this.model = model;
        this.signatures = signatures;
        size = signatures.input(Contract.TRAIN, Contract.TARGETS, "int32", 1).shape()[0];
    }

    /** User embeddings, float [B * targets * E], after every event of windows, int [B * T]. */
    float[] embedWindows(int[] items) throws PocketRecException {
        synchronized (model) {
            SignatureRunner runner = signatures.runner(Contract.EMBED_WINDOWS);
            signatures.check(runner, Contract.EMBED_WINDOWS, Contract.ITEMS, items);
            runner.input(Contract.ITEMS).asIntBuffer().put(items);
            runner.run();
            return Signatures.floats(runner, Contract.USER_EMBEDDINGS);
        }
    }

    /** One optimiser step on user embeddings, float [P * E], and their targets, int [P]. */
    float train(
            float[] users, int[] targets, float learningRate, float proximal, int[] negatives)
            throws PocketRecException {
        synchronized (model) {
            SignatureRunner runner = signatures.runner(Contract.TRAIN);
            runner.input(Contract.USER_EMBEDDINGS).asFloatBuffer().put(users);
            return signatures.step(runner, targets, learningRate, proximal, negatives);
        }
    }

    /** Loss and rank of such targets under the present weights. */
    Model.Evaluation evaluate(float[] users, int[] targets, int[] negatives)
            throws PocketRecException {
        synchronized (model) {
            SignatureRunner runner = signatures.runner(Contract.EVALUATE);
            runner.input(Contract.USER_EMBEDDINGS).asFloatBuffer().put(users);
            return signatures.judged(runner, targets, negatives);
        }
    }

    /**
     * Scores of all items by the two stages: what the device finds, and own items, by the ranker,
     * all others behind.
     *
     * @param items int [T], the events before
     * @param scores float [N + 1], inner products with the user embedding after them
     * @param history int [n], all events before
     */
    float[] reordered(int[] items, float[] scores, int[] history) throws PocketRecException {
        Best best = new Best(model.ranked);
        int[] all = new int[model.items];
        Arrays.setAll(all, place -> place + 1);
        best.add(all, Arrays.copyOfRange(scores, 1, scores.length));
        TreeSet<Integer> together = new TreeSet<>();
        Arrays.stream(best.rows()).forEach(together::add);
        Arrays.stream(history).forEach(together::add);
        int[] rows = together.stream().mapToInt(Integer::intValue).toArray();
        float[] ranked = model.rank(items, rows);
        float least = Float.POSITIVE_INFINITY;
        for (float score : ranked) {
            least = Math.min(least, score);
        }
        float[] found = new float[scores.length];
        for (int row = 0; row < scores.length; row++) {
            found[row] = Math.min(scores[row], least);
        }
        for (int place = 0; place < rows.length; place++) {
            found[rows[place]] = ranked[place];
        }
        return found;
    }
}
