// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;

/**
 * From a user's history to the fixed-shape arrays that the model takes, and the sampler of
 * negatives.
 *
 * <p>Rows are item rows, oldest first, without padding. This class knows nothing about models or
 * files.
 */
public final class Windows {
    /** Input rows of each step, int [S][B * T], right-padded with 0. */
    public final int[][] items;

    /** Rows to predict, int [S][B * targets]; 0 = does not count. */
    public final int[][] targets;

    private Windows(int[][] items, int[][] targets) {
        this.items = items;
        this.targets = targets;
    }

    /** One step of these windows and targets. */
    static Windows of(int[] items, int[] targets) {
        return new Windows(new int[][] {items}, new int[][] {targets});
    }

    /** Number S of steps; 0 where there is no target. */
    public int steps() {
        return items.length;
    }

    /**
     * Cuts a history into windows so that every target from {@code firstTarget} on is predicted
     * exactly once.
     *
     * <p>Windows are laid backwards from the end of the history. Each takes up to {@code window}
     * inputs that end right before its last target, and its last {@code stride} positions count;
     * the others only give context. The windows are spread evenly over the steps, oldest first, and
     * the rest of each step is empty (all 0).
     *
     * @param rows int [n], the whole history, oldest first, no 0
     * @param firstTarget index of the first event to predict; the very first event has nothing
     *     before it and is never one
     * @param window inputs T of a window
     * @param batch windows B of a step
     * @param stride targets that one window counts, 1 to {@code targets}
     * @param targets that a window of the model can have ({@link Model#targets}): T, one after each
     *     input; or 1, after the last input
     */
    public static Windows training(
            int[] rows, int firstTarget, int window, int batch, int stride, int targets) {
        int first = Math.max(1, firstTarget);
        int windows = ceilDivide(Math.max(0, rows.length - first), stride);
        int steps = ceilDivide(windows, batch);
        int[][] inputs = new int[steps][batch * window];
        int[][] wanted = new int[steps][batch * targets];
        int[] filled = new int[steps];
        for (int place = 0; place < windows; place++) {
            int last =
                    rows.length
                            - 1
                            - (windows - 1 - place)
                                    * stride; // index of the last target of this window
            int step = (int) ((long) place * steps / windows);
            int slot = filled[step]++;
            int start = Math.max(0, last - window); // inputs are rows[start:last]
            System.arraycopy(rows, start, inputs[step], slot * window, last - start);
            int counted =
                    Math.max(first, last - stride + 1); // first index that counts as a target here
            int at = slot * targets + Math.min(counted - start, targets) - 1;
            System.arraycopy(rows, counted, wanted[step], at, last + 1 - counted);
        }
        return new Windows(inputs, wanted);
    }

    /**
     * As {@link #training}, with windows of older targets drawn at random among the new ones.
     *
     * @param replayFrom index of the first older event that may be a target; below 0 = no replay
     * @param share windows replayed for each new one, as far as there are so many
     * @param targets that a window of the model can have
     * @param seed of the draw and of the order in which old and new windows are mixed
     */
    static Windows replay(
            int[] rows,
            int firstTarget,
            int replayFrom,
            double share,
            int window,
            int batch,
            int targets,
            int... seed) {
        Windows fresh = training(rows, firstTarget, window, 1, targets, targets);
        int count = replayed(fresh.steps(), firstTarget, replayFrom, share, targets);
        if (count == 0) {
            return training(rows, firstTarget, window, batch, targets, targets);
        }
        int[] earlier = Arrays.copyOf(rows, firstTarget);
        Windows old = training(earlier, replayFrom, window, 1, targets, targets);
        NumpyRandom random = new NumpyRandom(seed);
        int[] drawn = random.permutation(old.steps());
        int[] order = random.permutation(fresh.steps() + count);
        int steps = ceilDivide(order.length, batch);
        Windows mixed =
                new Windows(new int[steps][batch * window], new int[steps][batch * targets]);
        int next = 0;
        for (int step = 0; step < steps; step++) {
            int filled = order.length / steps + (step < order.length % steps ? 1 : 0);
            for (int place = 0; place < filled; place++) {
                int at = order[next++];
                Windows from = at < fresh.steps() ? fresh : old;
                int source = at < fresh.steps() ? at : drawn[at - fresh.steps()];
                System.arraycopy(from.items[source], 0, mixed.items[step], place * window, window);
                System.arraycopy(
                        from.targets[source], 0, mixed.targets[step], place * targets, targets);
            }
        }
        return mixed;
    }

    /**
     * How many windows of older targets, up to {@code targets} each, {@link #replay} draws for
     * {@code fresh} new ones.
     */
    static int replayed(int fresh, int firstTarget, int replayFrom, double share, int targets) {
        if (replayFrom < 0) {
            return 0;
        }
        int old = ceilDivide(Math.max(0, firstTarget - Math.max(1, replayFrom)), targets);
        return (int) Math.min(old, Math.rint(share * fresh));
    }

    /** The latest {@code window} events of a history, int [T], right-padded with 0. */
    public static int[] context(int[] rows, int window) {
        return Arrays.copyOf(
                Arrays.copyOfRange(rows, Math.max(0, rows.length - window), rows.length), window);
    }

    /**
     * Negatives for the sampled softmax: rows drawn with P(row) = log((row + 1) / row) / log(items
     * + 1).
     *
     * @param count number S of rows to draw, with repeats
     * @param items number N of items in the vocabulary
     * @param seed seed of the training
     * @param step number of the train step since the global weights
     * @return int [S], each in 1..N
     */
    public static int[] logUniform(int count, int items, int seed, int step) {
        NumpyRandom random = new NumpyRandom(seed, step);
        double scale = StrictMath.log(items + 1.0);
        int[] rows = new int[count];
        for (int place = 0; place < count; place++) {
            int row = (int) Math.floor(StrictMath.exp(random.nextDouble() * scale));
            rows[place] = Math.min(Math.max(row, 1), items);
        }
        return rows;
    }

    static int ceilDivide(int a, int b) {
        return (a + b - 1) / b;
    }
}
