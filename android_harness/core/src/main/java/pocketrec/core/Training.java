// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.List;

/**
 * Fine-tuning on one user's history, and the judgement of single targets.
 *
 * <p>The steps follow from the history and the recipe alone: no shuffling, negatives seeded by the
 * step's number. This class knows nothing about bundles, states or the guard.
 */
public final class Training {
    private static final int SEED = 20210419; // of the negatives; as in device/personal/training.py

    private Training() {}

    /**
     * Trains the model's present weights on a history.
     *
     * @param model the model; its weights and slots are changed
     * @param rows int [n], the history, oldest first, no 0
     * @param firstTarget index of the first event to predict; earlier ones are context
     * @param replayFrom index of the first of the older events that may be replayed among the new
     *     ones, as far as the recipe's {@code replay} says; below 0 = none are
     * @param recipe learning rate, passes, proximal strength, replay
     * @param step train steps already made from the global weights
     * @param options passes, progress, cancellation
     * @return the mean loss of each pass, in nats a step's target; empty where there is nothing to
     *     learn from
     */
    public static List<Double> fineTune(
            Model model,
            int[] rows,
            int firstTarget,
            int replayFrom,
            Recipe recipe,
            int step,
            TrainingOptions options)
            throws PocketRecException {
        int steps = stepsOf(model, rows, firstTarget, replayFrom, recipe, 1);
        int passes = steps == 0 ? 0 : options.passes(recipe);
        List<Double> losses = new ArrayList<>();
        for (int pass = 0; pass < passes; pass++) {
            Windows windows = // each pass replays other windows
                    Windows.replay(
                            rows,
                            firstTarget,
                            replayFrom,
                            recipe.replay,
                            model.window,
                            model.batch,
                            model.targets,
                            SEED,
                            step,
                            pass);
            double total = 0;
            for (int at = 0; at < steps; at++) {
                options.cancellation.check();
                int[] negatives = negatives(model, step + pass * steps + at);
                float loss =
                        model.train(
                                windows.items[at],
                                windows.targets[at],
                                recipe.learningRate,
                                recipe.proximal,
                                negatives);
                total += loss;
                options.progress.step(pass * steps + at + 1, passes * steps, loss);
            }
            losses.add(total / steps);
        }
        return losses;
    }

    /** Train steps that {@link #fineTune} makes. */
    static int stepsOf(
            Model model, int[] rows, int firstTarget, int replayFrom, Recipe recipe, int passes) {
        int targets = Math.max(0, rows.length - Math.max(1, firstTarget));
        int windows = Windows.ceilDivide(targets, model.targets);
        windows += Windows.replayed(windows, firstTarget, replayFrom, recipe.replay, model.targets);
        return Windows.ceilDivide(windows, model.batch) * passes;
    }

    /**
     * Loss and rank of each target from {@code firstTarget} to the end, under the present weights.
     *
     * <p>Every target has at least half a window of context before it, where the history is that
     * long; with {@code repeats} each has its whole window, its rank is that of the raised scores,
     * and it is asked for at its own time.
     *
     * @param times double [n], of the events, not decreasing
     * @param repeats the bonus for repeated items; null = none
     * @return over the full catalogue, or, where the loss is the sampled softmax, over the target
     *     and negatives that are the same at every call
     */
    public static Judged evaluateTargets(
            Model model,
            int[] rows,
            double[] times,
            int firstTarget,
            Repeats repeats,
            Cancellation cancellation)
            throws PocketRecException {
        if (repeats != null) {
            return evaluateRaised(model, rows, times, firstTarget, repeats, cancellation);
        }
        int stride = Math.min(Math.max(1, model.window / 2), model.targets);
        Windows windows =
                Windows.training(
                        rows, firstTarget, model.window, model.batch, stride, model.targets);
        Judged judged = new Judged(Math.max(0, rows.length - Math.max(1, firstTarget)));
        int filled = 0;
        for (int at = 0; at < windows.steps(); at++) {
            cancellation.check();
            Model.Evaluation evaluation =
                    model.evaluate(windows.items[at], windows.targets[at], negatives(model, at));
            for (int place = 0; place < windows.targets[at].length; place++) {
                if (windows.targets[at][place] > 0) {
                    judged.loss[filled] = evaluation.loss[place];
                    judged.rank[filled++] = evaluation.rank[place];
                }
            }
        }
        return judged;
    }

    /**
     * As {@link #evaluateTargets}, one target at a time over the full catalogue, with the bonus for
     * repeated items.
     */
    private static Judged evaluateRaised(
            Model model,
            int[] rows,
            double[] times,
            int firstTarget,
            Repeats repeats,
            Cancellation cancellation)
            throws PocketRecException {
        int first = Math.max(1, firstTarget);
        Judged judged = new Judged(Math.max(0, rows.length - first));
        for (int place = first; place < rows.length; place++) {
            cancellation.check();
            int[] before = java.util.Arrays.copyOf(rows, place);
            float[] user = model.embed(Windows.context(before, model.window));
            float[] scores = model.scores(user); // [N + 1]
            repeats.addToCatalogue(scores, before, Repeats.gapsAt(times, place, times[place]));
            float own = scores[rows[place]];
            judged.loss[place - first] = Scores.logSumExp(scores, 1) - own;
            judged.rank[place - first] = Scores.atLeast(scores, 1, own);
        }
        return judged;
    }

    private static int[] negatives(Model model, int step) {
        return model.negatives == 0
                ? null
                : Windows.logUniform(model.negatives, model.items, SEED, step);
    }

    /** Loss in nats and rank (1 = best) of m targets, oldest first. */
    public static final class Judged {
        /** double [m], nats. */
        public final double[] loss;

        /** double [m], 1 = best. */
        public final double[] rank;

        Judged(int targets) {
            loss = new double[targets];
            rank = new double[targets];
        }
    }
}
