// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * A personal patch on a task's shared one: trained on the user's own targets, judged by the guard,
 * pulled to the patch; the rules of device/personal/task_training.py. The head stays as it was
 * tuned; only the tensors beside the backbone train.
 */
final class TaskTraining {
    private static final float ABSENT = -1e4f; // bias of a row that is not there
    private static final int SEED = 20281128; // of the negatives

    /** Targets of one user in a task, oldest first. */
    static final class Examples {
        /** Rows of the latest source events before each target, int [n][T], right-padded with 0. */
        final int[][] windows;

        /** Rows of the head, int [n], from 1. */
        final int[] targets;

        /** Source events before each target in rows of the task, for the bonus for repeats. */
        final int[][] histories;

        Examples(int[][] windows, int[] targets, int[][] histories) {
            this.windows = windows;
            this.targets = targets;
            this.histories = histories;
        }

        int size() {
            return targets.length;
        }

        Examples part(int from, int to) {
            return new Examples(
                    Arrays.copyOfRange(windows, from, to),
                    Arrays.copyOfRange(targets, from, to),
                    Arrays.copyOfRange(histories, from, to));
        }
    }

    private final Model model;
    private final Patch patch;
    private final Weights reference;
    private final TrainingOptions options;

    /**
     * @param model whose file trains tasks
     * @param reference the patch's tensors and fresh slots
     */
    TaskTraining(Model model, Patch patch, Weights reference, TrainingOptions options) {
        this.model = model;
        this.patch = patch;
        this.reference = reference;
        this.options = options;
    }

    /**
     * Follows the patch's recipe on one user's targets: judge, decide, and train on all where the
     * guard allows it. The model's weights are undefined afterwards.
     *
     * @throws CancelledException nothing is kept of the training
     * @throws StoppedException as well
     */
    Personalise follow(Examples examples) throws PocketRecException {
        Recipe recipe = patch.recipe;
        int count = examples.size();
        String reason = Personalise.noTraining(recipe, count, count);
        List<Double> losses = Collections.emptyList();
        if (reason != null) {
            Decision none = new Decision(Guard.GLOBAL, reason, Collections.emptyMap(), null);
            return new Personalise(none, reference, count, losses, 0);
        }
        Judgement judgement = judge(examples);
        Decision decision = Guard.decide(recipe.guard, judgement, 1.0);
        Weights weights = reference;
        int steps = 0;
        if (!decision.choice.equals(Guard.GLOBAL)) {
            model.importWeights(reference);
            losses = train(examples);
            steps = losses.size() * Windows.ceilDivide(count, model.batch);
            weights =
                    Weights.blend(reference, model.exportWeights(), Guard.shareOf(decision.choice));
            if (!weights.finite()) {
                String diverged = "the training diverged";
                decision =
                        new Decision(Guard.GLOBAL, diverged, Collections.emptyMap(), judgement);
                losses = Collections.emptyList();
                weights = reference;
                steps = 0;
            }
        }
        return new Personalise(decision, weights, count, losses, steps);
    }

    /** Trains on all but the latest targets and compares with the shared patch on those. */
    private Judgement judge(Examples examples) throws PocketRecException {
        GuardRecipe guard = patch.recipe.guard;
        int count = examples.size();
        int heldback = guard.heldbackCount(count);
        if (heldback == 0) {
            return new Judgement(count, 0, Collections.emptyMap(), false);
        }
        model.importWeights(reference);
        train(examples.part(0, count - heldback));
        Weights personal = model.exportWeights();
        if (!personal.finite()) {
            return new Judgement(count, heldback, Collections.emptyMap(), true);
        }
        Examples later = examples.part(count - heldback, count);
        Training.Judged global = evaluated(Guard.GLOBAL, personal, later);
        Map<String, Observed> observed = new LinkedHashMap<>();
        for (String choice : guard.choices()) {
            Observed seen = Guard.difference(global, evaluated(choice, personal, later));
            if (!seen.finite()) {
                return new Judgement(count, heldback, Collections.emptyMap(), true);
            }
            observed.put(choice, seen);
        }
        return new Judgement(count, heldback, observed, false);
    }

    /** Trains the model's present weights; gives the mean loss of each pass, nats a target. */
    private List<Double> train(Examples examples) throws PocketRecException {
        Recipe recipe = patch.recipe;
        int count = examples.size();
        int steps = Windows.ceilDivide(count, model.batch);
        int passes = options.passes(recipe);
        List<Double> losses = new ArrayList<>();
        for (int pass = 0; pass < passes; pass++) {
            double total = 0;
            for (int at = 0; at < steps; at++) {
                options.check();
                Examples batch = examples.part(at * count / steps, (at + 1) * count / steps);
                float loss = step(batch, pass * steps + at);
                total += loss;
                options.progress.step(pass * steps + at + 1, passes * steps, loss);
            }
            losses.add(total / Math.max(1, steps));
        }
        return losses;
    }

    /**
     * One step. The rows of the head that are compared are all where there is room for them; else
     * the targets, and negatives drawn by log-uniform frequency.
     */
    private float step(Examples batch, int number) throws PocketRecException {
        int[] rows = new int[model.compared]; // 0 = not there
        int count = patch.ids.size();
        if (count <= rows.length) {
            for (int place = 0; place < count; place++) {
                rows[place] = place + 1;
            }
        } else {
            int[] own = Arrays.stream(batch.targets).sorted().distinct().toArray();
            System.arraycopy(own, 0, rows, 0, own.length);
            int[] drawn = Windows.logUniform(rows.length - own.length, count, SEED, number);
            for (int place = 0; place < drawn.length; place++) {
                boolean known = Arrays.binarySearch(own, drawn[place]) >= 0;
                rows[own.length + place] = known ? 0 : drawn[place];
            }
        }
        int[] items = new int[model.batch * model.window];
        float[] wanted = new float[model.batch * rows.length];
        for (int place = 0; place < batch.size(); place++) {
            System.arraycopy(
                    batch.windows[place], 0, items, place * model.window, model.window);
            int at = 0;
            while (rows[at] != batch.targets[place]) {
                at++;
            }
            wanted[place * rows.length + at] = 1;
        }
        float[] biases = patch.biases(rows, ABSENT);
        Recipe recipe = patch.recipe;
        return model.trainTask(
                new float[][] {wanted, patch.head(rows), biases},
                items,
                recipe.learningRate,
                recipe.proximal,
                reference);
    }

    /** Loss and rank of each target among all of the task, with the patch's bonus for repeats. */
    private Training.Judged evaluated(String choice, Weights personal, Examples later)
            throws PocketRecException {
        options.check();
        model.importWeights(Weights.blend(reference, personal, Guard.shareOf(choice)));
        Training.Judged judged = new Training.Judged(later.size());
        int[] rows = patch.all();
        for (int place = 0; place < later.size(); place++) {
            float[] scores = patch.scores(model.embed(later.windows[place]), rows);
            patch.repeats.addTo(scores, rows, later.histories[place], null);
            float own = scores[later.targets[place] - 1];
            judged.loss[place] = Scores.logSumExp(scores, 0) - own;
            judged.rank[place] = Scores.atLeast(scores, 0, own);
        }
        return judged;
    }
}
