// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;

/**
 * What the train steps, or the calls of an evaluation, take of windows: the windows themselves, or
 * user embeddings of the targets that count, in their order, spread evenly over the steps; the rule
 * of {@code Model.steps} of device/engine/two_stages.py.
 */
final class Steps {
    /** Rows to predict of each step; 0 = does not count. */
    final int[][] targets;

    private final Model model;
    private final Windows windows;
    private final float[][] users; // [S][P * E]; null where steps take windows

    /**
     * @param count steps to make; 0 = as few as there may be
     */
    Steps(Model model, Windows windows, int count) throws PocketRecException {
        this.model = model;
        this.windows = windows;
        if (model.positions == null) {
            users = null;
            targets = windows.targets;
            return;
        }
        int size = model.positions.size;
        int width = model.embedding;
        int total = 0;
        for (int[] wanted : windows.targets) {
            total += counted(wanted);
        }
        int steps = count > 0 ? count : Windows.ceilDivide(total, size);
        users = new float[steps][size * width];
        targets = new int[steps][size];
        int step = 0;
        int filled = 0;
        for (int at = 0; at < windows.steps(); at++) {
            float[] made = model.positions.embedWindows(windows.items[at]);
            int[] wanted = windows.targets[at];
            for (int place = 0; place < wanted.length; place++) {
                if (wanted[place] > 0) {
                    while (filled == total / steps + (step < total % steps ? 1 : 0)) {
                        step++;
                        filled = 0;
                    }
                    System.arraycopy(made, place * width, users[step], filled * width, width);
                    targets[step][filled++] = wanted[place];
                }
            }
        }
    }

    /** Number S of steps; 0 where there is no target. */
    int count() {
        return targets.length;
    }

    /** Makes a train step; gives the loss before it. */
    float train(int at, Recipe recipe, int[] negatives) throws PocketRecException {
        float rate = recipe.learningRate;
        return users == null
                ? model.train(windows.items[at], targets[at], rate, recipe.proximal, negatives)
                : model.positions.train(users[at], targets[at], rate, recipe.proximal, negatives);
    }

    /** Loss and rank of the targets of a step. */
    Model.Evaluation evaluate(int at, int[] negatives) throws PocketRecException {
        return users == null
                ? model.evaluate(windows.items[at], targets[at], negatives)
                : model.positions.evaluate(users[at], targets[at], negatives);
    }

    /** How many of some targets count. */
    static int counted(int[] targets) {
        return (int) Arrays.stream(targets).filter(row -> row > 0).count();
    }
}
