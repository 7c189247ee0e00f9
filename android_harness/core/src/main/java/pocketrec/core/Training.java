// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
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
     * @param start which events are predicted, which older ones may be replayed, and the steps made
     *     before; its weights are those that the model has
     * @param recipe learning rate, passes, proximal strength, replay
     * @param options passes, progress, cancellation, budget
     * @param course where to go on; it is kept up to date
     * @return the mean loss of each pass, in nats a step's target; empty where there is nothing to
     *     learn from
     * @throws StoppedException the budget is used up
     */
    static List<Double> fineTune(
            Model model,
            int[] rows,
            Guard.Start start,
            Recipe recipe,
            TrainingOptions options,
            Course course)
            throws PocketRecException {
        int steps = stepsOf(model, rows, start, recipe, 1);
        int passes = steps == 0 ? 0 : options.passes(recipe);
        Steps given = null;
        int made = -1; // the pass that they are of
        while (course.done < passes * steps) {
            int pass = course.done / steps;
            int at = course.done % steps;
            if (made != pass) { // each pass replays other windows
                made = pass;
                Windows windows =
                        Windows.replay(
                                rows,
                                start.firstTarget,
                                start.replayFrom,
                                recipe.replay,
                                model.window,
                                model.batch,
                                model.targets,
                                SEED,
                                start.step,
                                pass);
                given = new Steps(model, windows, steps);
            }
            options.check();
            int[] negatives = negatives(model, start.step + course.done);
            float loss = given.train(at, recipe, negatives);
            course.total += loss;
            course.done++;
            options.progress.step(course.done, passes * steps, loss);
            if (at == steps - 1) {
                course.losses.add(course.total / steps);
                course.total = 0;
            }
        }
        return course.losses;
    }

    /** Train steps that {@link #fineTune} makes. */
    static int stepsOf(Model model, int[] rows, Guard.Start start, Recipe recipe, int passes) {
        int targets = Math.max(0, rows.length - Math.max(1, start.firstTarget));
        int windows = Windows.ceilDivide(targets, model.targets);
        int replayed =
                Windows.replayed(
                        windows,
                        start.firstTarget,
                        start.replayFrom,
                        recipe.replay,
                        model.targets);
        if (model.positions != null) { // the oldest of those may have fewer: room to spare
            int most = targets + replayed * model.targets;
            return Windows.ceilDivide(most, model.positions.size) * passes;
        }
        return Windows.ceilDivide(windows + replayed, model.batch) * passes;
    }

    /**
     * Loss and rank of each target from {@code firstTarget} to the end, under the present weights;
     * see {@link #evaluationCalls}.
     */
    public static Judged evaluateTargets(
            Model model,
            int[] rows,
            double[] times,
            int firstTarget,
            Repeats repeats,
            Cancellation cancellation)
            throws PocketRecException {
        Judged judged = new Judged(Math.max(0, rows.length - Math.max(1, firstTarget)));
        int filled = 0;
        for (Call call : evaluationCalls(model, rows, times, firstTarget, repeats)) {
            cancellation.check();
            Judged part = call.run();
            System.arraycopy(part.loss, 0, judged.loss, filled, part.loss.length);
            System.arraycopy(part.rank, 0, judged.rank, filled, part.rank.length);
            filled += part.loss.length;
        }
        return judged;
    }

    /** One step of an evaluation: loss and rank of some targets, oldest first. */
    interface Call {
        Judged run() throws PocketRecException;
    }

    /**
     * The steps of an evaluation of the targets from {@code firstTarget} to the end, so that one
     * may stop between them; to be run in their order under the weights that are judged.
     *
     * <p>Every target has at least half a window of context before it, where the history is that
     * long; with {@code repeats} each has its whole window, its rank is that of the raised scores,
     * and it is asked for at its own time.
     *
     * @param times double [n], of the events, not decreasing
     * @param repeats the bonus for repeated items; null = none
     * @return over the full catalogue, or, where the loss is the sampled softmax, over the target
     *     and negatives that are the same at every call; where the ranker of a second stage trains,
     *     the full catalogue is in the order of both stages
     */
    static List<Call> evaluationCalls(
            Model model, int[] rows, double[] times, int firstTarget, Repeats repeats)
            throws PocketRecException {
        List<Call> calls = new ArrayList<>();
        if (repeats != null) {
            for (int place = Math.max(1, firstTarget); place < rows.length; place++) {
                int target = place;
                calls.add(() -> raised(model, rows, times, target, repeats));
            }
            return calls;
        }
        int stride = Math.min(Math.max(1, model.window / 2), model.targets);
        Windows windows =
                Windows.training(
                        rows, firstTarget, model.window, model.batch, stride, model.targets);
        Steps given = new Steps(model, windows, 0);
        for (int at = 0; at < given.count(); at++) {
            int number = at;
            calls.add(() -> batch(model, given, number));
        }
        return calls;
    }

    /** Loss and rank of the counted targets of one batch; its number seeds the negatives. */
    private static Judged batch(Model model, Steps given, int at) throws PocketRecException {
        int[] targets = given.targets[at];
        Model.Evaluation evaluation = given.evaluate(at, negatives(model, at));
        Judged judged = new Judged(Steps.counted(targets));
        int filled = 0;
        for (int place = 0; place < targets.length; place++) {
            if (targets[place] > 0) {
                judged.loss[filled] = evaluation.loss[place];
                judged.rank[filled++] = evaluation.rank[place];
            }
        }
        return judged;
    }

    /** Loss and rank of one target over the full catalogue, with the bonus for repeated items. */
    private static Judged raised(
            Model model, int[] rows, double[] times, int place, Repeats repeats)
            throws PocketRecException {
        int[] before = Arrays.copyOf(rows, place);
        int[] items = Windows.context(before, model.window);
        float[] scores = model.scores(model.embed(items)); // [N + 1]
        if (model.positions != null) { // the ranker of the second stage is what trains
            scores = model.positions.reordered(items, scores, before);
        }
        repeats.addToCatalogue(scores, before, Repeats.gapsAt(times, place, times[place]));
        float own = scores[rows[place]];
        Judged judged = new Judged(1);
        judged.loss[0] = Scores.logSumExp(scores, 1) - own;
        judged.rank[0] = Scores.atLeast(scores, 1, own);
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
