// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * The whole of personal training for one user, from a history to weights: recipe, guard, final
 * training.
 */
final class Personalise {
    /** Choice of a training that continued from earlier weights and found nothing to do. */
    static final String UNCHANGED = "unchanged";

    /** Which weights, and why. */
    final Decision decision;

    /** Trainable tensors and slots; the model holds the same. */
    final Weights weights;

    /** Events to learn from. */
    final int events;

    /** Mean loss of each pass of the final training, in nats; empty where nothing was trained. */
    final List<Double> losses;

    /** Train steps of the final training. */
    final int steps;

    Personalise(
            Decision decision, Weights weights, int events, List<Double> losses, int steps) {
        this.decision = decision;
        this.weights = weights;
        this.events = events;
        this.losses = losses;
        this.steps = steps;
    }

    /**
     * Follows a recipe on one history: judge, decide, and train on all events where the guard
     * allows it.
     *
     * <p>Nothing is trained, and the start weights stay, where the recipe says so, where there is
     * nothing to learn from, or with fewer events than the recipe's minimum.
     *
     * @param model the model; afterwards it holds the outcome's weights
     * @param rows int [n], the whole history, oldest first, no 0
     * @param times double [n], of its events
     * @param start where the training starts from
     * @param resumed whether that is anything but the global weights
     * @param reference the global weights and slots
     */
    static Personalise follow(
            Model model,
            int[] rows,
            double[] times,
            Guard.Start start,
            boolean resumed,
            Recipe recipe,
            Weights reference,
            TrainingOptions options)
            throws PocketRecException {
        int targets = Guard.eventsToLearn(rows, start.since);
        String reason = noTraining(recipe, start.events, targets);
        if (reason != null) {
            model.importWeights(start.weights);
            Decision decision =
                    new Decision(
                            resumed ? UNCHANGED : Guard.GLOBAL,
                            reason,
                            Collections.emptyMap(),
                            null);
            return new Personalise(decision, start.weights, targets, Collections.emptyList(), 0);
        }
        Judgement judgement = Guard.judge(model, rows, times, start, recipe, reference, options);
        Decision decision = Guard.decide(recipe.guard, judgement);
        List<Double> losses = new ArrayList<>();
        Weights weights = reference;
        if (!decision.choice.equals(Guard.GLOBAL)) {
            model.importWeights(start.weights);
            losses =
                    Training.fineTune(
                            model,
                            rows,
                            start.firstTarget,
                            start.replayFrom,
                            recipe,
                            start.step,
                            options);
            weights =
                    Weights.blend(reference, model.exportWeights(), Guard.shareOf(decision.choice));
            if (!weights.finite()) {
                decision =
                        new Decision(
                                Guard.GLOBAL,
                                "the training diverged",
                                Collections.emptyMap(),
                                judgement);
                weights = reference;
                losses = Collections.emptyList();
            }
        }
        model.importWeights(weights);
        int steps =
                Training.stepsOf(
                        model, rows, start.firstTarget, start.replayFrom, recipe, losses.size());
        return new Personalise(decision, weights, targets, losses, steps);
    }

    /** Why nothing is trained; null where something is. */
    static String noTraining(Recipe recipe, int events, int targets) {
        if (!recipe.personalise) {
            return "the rehearsal found nothing to gain from personal training";
        }
        if (targets == 0) {
            return "there is no event to learn from";
        }
        if (events < recipe.minimumEvents) {
            return "fewer events than the recipe's minimum of " + recipe.minimumEvents;
        }
        return null;
    }
}
