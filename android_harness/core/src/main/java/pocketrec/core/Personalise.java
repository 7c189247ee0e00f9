// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

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

    /** Where it was stopped; null = it came to its end. Then nothing is decided. */
    final Paused paused;

    Personalise(
            Decision decision, Weights weights, int events, List<Double> losses, int steps) {
        this(decision, weights, events, losses, steps, null);
    }

    private Personalise(
            Decision decision,
            Weights weights,
            int events,
            List<Double> losses,
            int steps,
            Paused paused) {
        this.paused = paused;
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
     * @param start where the training starts from, or goes on
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
        int targets = Guard.eventsToLearn(rows.length, start.since);
        String reason = noTraining(recipe, start.events, targets);
        if (reason != null) {
            model.importWeights(start.weights);
            Decision decision = undecided(resumed ? UNCHANGED : Guard.GLOBAL, reason);
            return new Personalise(decision, start.weights, targets, Collections.emptyList(), 0);
        }
        Judgement judgement = start.paused == null ? null : start.paused.judgement;
        Paused paused = judgement == null ? null : start.paused; // else it is about the guard's
        Course course = paused == null ? new Course() : paused.course.copy();
        Decision decision;
        try {
            if (judgement == null) {
                judgement = Guard.judge(model, rows, times, start, recipe, reference, options);
            }
            decision = Guard.decide(recipe.guard, judgement, options.most);
            if (!decision.choice.equals(Guard.GLOBAL)) {
                model.importWeights(paused == null ? start.weights : paused.weights);
                Training.fineTune(model, rows, start, recipe, options, course);
            }
        } catch (StoppedException stopped) {
            Paused halted =
                    stopped.paused == null
                            ? new Paused(course, model.exportWeights(), judgement, null)
                            : stopped.paused;
            Decision undecided = undecided(UNCHANGED, stopped.getMessage());
            return new Personalise(
                    undecided, start.weights, targets, Collections.emptyList(), 0, halted);
        }
        boolean trained = !decision.choice.equals(Guard.GLOBAL);
        List<Double> losses = trained ? course.losses : Collections.emptyList();
        Weights weights = reference;
        if (trained) {
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
        int steps = Training.stepsOf(model, rows, start, recipe, losses.size());
        return new Personalise(decision, weights, targets, losses, steps);
    }

    /** What the report says where nothing was weighed. */
    static Decision undecided(String choice, String reason) {
        return new Decision(choice, reason, Collections.emptyMap(), null);
    }

    /** Why nothing is trained; null where something is. */
    static String noTraining(Recipe recipe, int events, int targets) {
        if (!recipe.personalise) {
            return "the rehearsal found no training that gains enough at little harm";
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
