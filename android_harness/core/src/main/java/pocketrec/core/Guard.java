// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/**
 * The guard: is this user better served by the personal weights, by the global ones, or by
 * something between?
 *
 * <p>The rules and the formula are those of device/personal/guard.py. The user's latest events are
 * held back, the rest is trained on, and what is seen on the held-back ones corrects what the
 * rehearsal expects (empirical-Bayes shrinkage).
 */
public final class Guard {
    /** The personal weights. */
    public static final String PERSONAL = "personal";

    /** Half the way from the global to the personal weights. */
    public static final String BLEND = "blend";

    /** The global weights. */
    public static final String GLOBAL = "global";

    /** Most events that a device learns from, the latest ones. */
    static final int LEARNED = 10_000;

    /** What may be chosen besides the global weights, the mildest first. */
    static final List<String> CHOICES =
            Collections.unmodifiableList(Arrays.asList("quarter", BLEND, "most", PERSONAL));

    private static final double[] SHARES = {0.25, 0.5, 0.75, 1.0}; // of the choices

    /** Loss in reciprocal rank above which a user is harmed. */
    static final double MARGIN = 0.01;

    private static final double STEEPEST = 700.0; // an exponent that a double can take

    private Guard() {}

    /** Share of the personal weights, and of the bonus for repeats, in a choice; 0 for GLOBAL. */
    static double shareOf(String choice) {
        int place = CHOICES.indexOf(choice);
        return place < 0 ? 0.0 : SHARES[place];
    }

    /** Probability of a loss of more than MARGIN, of a user with {@code events} and that gain. */
    static double chanceOfHarm(Prior prior, int events, double gain) {
        double scale = prior.spread.at(events) * Math.sqrt(3.0) / Math.PI;
        if (scale <= 0) {
            return gain < -MARGIN ? 1.0 : 0.0;
        }
        return 1.0 / (1.0 + Math.exp(Math.min(STEEPEST, (gain + MARGIN) / scale)));
    }

    /**
     * Expected gain in reciprocal rank; the prior's where nothing was held back or observed (null).
     */
    static double posteriorGain(Prior prior, int events, int heldback, Observed observed) {
        double gain = prior.gain.at(events);
        if (observed == null || heldback <= 0) {
            return gain;
        }
        gain += prior.loglik.correction(observed.loglik, heldback, events);
        return gain + prior.rr.correction(observed.rr, heldback, events);
    }

    /**
     * Chooses from what was seen and expected. Equal utilities go to the milder choice.
     *
     * @param most largest share of the personal weights that may be chosen
     */
    static Decision decide(GuardRecipe guard, Judgement judgement, double most) {
        if (judgement.diverged) {
            return new Decision(GLOBAL, "the training diverged", Collections.emptyMap(), judgement);
        }
        if (!guard.enabled) {
            return new Decision(PERSONAL, "the guard is off", Collections.emptyMap(), judgement);
        }
        Map<String, Double> posterior = new LinkedHashMap<>();
        String best = GLOBAL;
        double utility = guard.threshold;
        for (String choice : guard.choices()) {
            if (shareOf(choice) > most) {
                continue;
            }
            Prior prior = guard.priorOf(choice);
            double gain =
                    posteriorGain(
                            prior,
                            judgement.events,
                            judgement.heldback,
                            judgement.observed.get(choice));
            posterior.put(choice, gain);
            double value = gain - guard.price * chanceOfHarm(prior, judgement.events, gain);
            if (value > utility) {
                best = choice;
                utility = value;
            }
        }
        String reason;
        if (judgement.heldback == 0) {
            reason = "too few events to hold any back, so the rehearsal's mean decides";
        } else if (best.equals(GLOBAL)) {
            reason = "no gain is expected from personal weights";
        } else {
            reason =
                    String.format(
                            Locale.ROOT,
                            "a gain of %+.4f in reciprocal rank is expected",
                            posterior.get(best));
        }
        return new Decision(best, reason, posterior, judgement);
    }

    /**
     * Events of a history of some length to learn from, n: those from {@code since} on; the very
     * first event is only context.
     */
    static int eventsToLearn(int length, int since) {
        return Math.max(0, length - Math.max(1, since));
    }

    /**
     * Index of the first event to learn from: {@code since}, but at most {@link #LEARNED} events
     * are.
     *
     * @param length events of the history
     * @param since index of the first that the global model has not seen
     */
    static int learnedSince(int length, int since) {
        return Math.max(since, length - LEARNED);
    }

    /**
     * Trains on all but the latest events and compares with the global weights on those.
     *
     * <p>The model's variables are left in an undefined state: the caller imports the weights that
     * it wants.
     *
     * @param rows int [n], the history, oldest first, no 0
     * @param times double [n], of its events; each held-back one is asked for at its own
     * @param start weights and slots to train from
     * @param reference the global weights and slots
     * @throws StoppedException the budget is used up; it says where to go on
     */
    static Judgement judge(
            Model model,
            int[] rows,
            double[] times,
            Start start,
            Recipe recipe,
            Weights reference,
            TrainingOptions options)
            throws PocketRecException {
        int targets = eventsToLearn(rows.length, start.since);
        int heldback = recipe.guard.heldbackCount(targets);
        if (heldback == 0) {
            return new Judgement(start.events, 0, Collections.emptyMap(), false);
        }
        int split = rows.length - heldback;
        Paused paused = start.paused;
        Course course = paused == null ? new Course() : paused.course.copy();
        Compared compared =
                paused == null || paused.compared == null
                        ? new Compared()
                        : paused.compared.copy();
        model.importWeights(paused == null ? start.weights : paused.weights);
        Weights personal = null;
        List<String> compare = compared(recipe.guard);
        try {
            int[] earlier = Arrays.copyOf(rows, split);
            Training.fineTune(model, earlier, start, recipe, options, course);
            personal = model.exportWeights();
            if (!personal.finite()) {
                return new Judgement(start.events, heldback, Collections.emptyMap(), true);
            }
            for (int place = 0; place < compare.size(); place++) {
                double share = shareOf(compare.get(place));
                boolean global = share == 0.0;
                model.importWeights(
                        global ? reference : Weights.blend(reference, personal, share));
                Repeats repeats =
                        recipe.repeats.strength == 0 ? null : recipe.repeats.times(share);
                sumUp(
                        compared,
                        place,
                        Training.evaluationCalls(model, rows, times, split, repeats),
                        options);
            }
        } catch (StoppedException stopped) {
            Weights reached = personal == null ? model.exportWeights() : personal;
            Compared sums = compared.loss.isEmpty() ? null : compared;
            throw new StoppedException(
                    stopped.getMessage(), new Paused(course, reached, null, sums));
        }
        return judgement(start.events, heldback, compare, compared);
    }

    /** What is compared: global, then personal and half of it, then what else may be chosen. */
    private static List<String> compared(GuardRecipe guard) {
        Set<String> compared = new LinkedHashSet<>(Arrays.asList(GLOBAL, PERSONAL, BLEND));
        compared.addAll(guard.choices());
        return new ArrayList<>(compared);
    }

    private static Judgement judgement(
            int events, int heldback, List<String> compare, Compared compared) {
        Map<String, Observed> observed = new LinkedHashMap<>();
        for (int place = 1; place < compare.size(); place++) {
            double loglik = (compared.loss.get(0) - compared.loss.get(place)) / heldback;
            double rr = (compared.rr.get(place) - compared.rr.get(0)) / heldback;
            Observed seen = new Observed(loglik, rr);
            if (!seen.finite()) {
                return new Judgement(events, heldback, Collections.emptyMap(), true);
            }
            observed.put(compare.get(place), seen);
        }
        return new Judgement(events, heldback, observed, false);
    }

    /** Evaluates one of the weights, as far as that is not done. */
    private static void sumUp(
            Compared compared, int place, List<Training.Call> calls, TrainingOptions options)
            throws PocketRecException {
        if (place < compared.loss.size() - 1) {
            return;
        }
        if (place == compared.loss.size()) {
            compared.calls = 0;
            compared.loss.add(0.0);
            compared.rr.add(0.0);
        }
        while (compared.calls < calls.size()) {
            options.check();
            compared.add(place, calls.get(compared.calls).run());
        }
    }

    static Observed difference(Training.Judged global, Training.Judged choice) {
        int targets = global.loss.length;
        double loglik = 0;
        double rr = 0;
        for (int place = 0; place < targets; place++) {
            loglik += global.loss[place] - choice.loss[place];
            rr += 1 / choice.rank[place] - 1 / global.rank[place];
        }
        return new Observed(loglik / targets, rr / targets);
    }

    /** Where a training starts from. */
    static final class Start {
        /** Index of the first event that the global model has not seen. */
        final int since;

        /** Index of the first event to train on. */
        final int firstTarget;

        /** Index of the first older event that may be replayed; below 0 = none are. */
        final int replayFrom;

        /** Number of events that the prior is asked about. */
        final int events;

        /** Weights and slots. */
        final Weights weights;

        /** Train steps already behind them. */
        final int step;

        /** Where a training with the same arguments was stopped; null = it begins. */
        final Paused paused;

        Start(
                int since,
                int firstTarget,
                int replayFrom,
                int events,
                Weights weights,
                int step,
                Paused paused) {
            this.paused = paused;
            this.since = since;
            this.firstTarget = firstTarget;
            this.replayFrom = replayFrom;
            this.events = events;
            this.weights = weights;
            this.step = step;
        }
    }
}
