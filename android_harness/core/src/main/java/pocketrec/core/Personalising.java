// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;

/**
 * One personalisation of a session: from what is to be done, over the training, to the state that
 * follows. A training that its budget stopped goes on here, where it is still about the same
 * events, recipe and start. The rules of device/state/personalisation.py.
 */
final class Personalising {
    private final Session session;
    private final PersonalState old; // without events of the future
    private final Recipe recipe;
    private final int since;
    private final Plan.Wish wish;
    private final boolean fresh;
    private final int unknown;

    /**
     * @param wish what the application asks for
     * @param fresh whether events were given, known ones too
     * @param unknown events given whose items the vocabulary lacks, for the report
     */
    Personalising(Session session, Plan.Wish wish, boolean fresh, int unknown)
            throws PocketRecException {
        this.session = session;
        this.wish = wish;
        this.fresh = fresh;
        this.unknown = unknown;
        old = session.present();
        recipe = session.bundle.recipe;
        since = session.since();
    }

    /**
     * The report where the last training that came to its end was about the very same; else null.
     */
    Report nothingNew() {
        int length = old.rawRows().length;
        if (!old.learned.equals(fingerprint(length))) {
            return null;
        }
        int count = Guard.eventsToLearn(length, Guard.learnedSince(length, since));
        Decision decision = Personalise.undecided(choice(), Report.NOTHING_NEW);
        return report(
                new Personalise(decision, old.weights, count, Collections.emptyList(), 0),
                choice(),
                old.steps);
    }

    /**
     * Trains; the model holds the state's weights afterwards, whatever happens.
     */
    Report run(Serving serving, TrainingOptions options) throws PocketRecException {
        Model model = serving.open();
        Weights reference = serving.reference();
        Pending pending = old.pending;
        Plan plan = pending == null ? null : planOf(pending.length, pending.fresh);
        if (plan == null || !plan.key(old, recipe).equals(pending.key)) {
            pending = null;
            plan = planOf(old.rawRows().length, fresh);
        }
        Paused paused = pending == null ? null : pending.paused;
        PersonalState known = plan.first(old);
        Personalise outcome = null;
        serving.holdsOther();
        try {
            outcome =
                    Personalise.follow(
                            model,
                            known.rawRows(),
                            known.rawTimes(),
                            plan.start(old, recipe, reference, paused),
                            plan.resumed,
                            recipe,
                            reference,
                            options);
        } finally {
            if (outcome == null || outcome.paused != null) {
                serving.open();
            }
        }
        long through = pending == null ? session.history.stored() : pending.through;
        PersonalState.Change change = session.state.change();
        Report report;
        if (outcome.paused != null) {
            boolean given = pending == null ? fresh : pending.fresh;
            change.pending =
                    new Pending(
                            plan.key(old, recipe), plan.length, through, given, outcome.paused);
            report = report(outcome, choice(), old.steps);
        } else {
            boolean unchanged = outcome.decision.choice.equals(Personalise.UNCHANGED);
            String choice = unchanged ? choice() : outcome.decision.choice;
            report = report(outcome, choice, plan.step);
            boolean learned = !outcome.losses.isEmpty();
            change.weights = choice.equals(Guard.GLOBAL) ? null : outcome.weights;
            change.trained = learned ? plan.length : plan.resumed ? old.trained : 0;
            change.through = learned ? through : plan.resumed ? old.through : 0;
            change.steps = report.steps;
            change.report = report.toMap();
            change.pending = null;
            change.learned = fingerprint(plan.length);
        }
        session.state = change.made();
        serving.holdsOwn();
        session.file.changes.trained = outcome.paused == null;
        return report;
    }

    private Plan planOf(int length, boolean given) {
        return Plan.of(old, recipe, since, Math.min(length, old.rawRows().length), wish, given);
    }

    /** The choice that stands. */
    private String choice() {
        Object choice = old.report.get("choice");
        return choice == null ? Guard.GLOBAL : String.valueOf(choice);
    }

    private Report report(Personalise outcome, String choice, int stepsBefore) {
        int length = old.rawRows().length;
        int older = Guard.learnedSince(length, since) - since;
        int future = session.state.rawRows().length - length;
        return new Report(
                outcome, choice, length, unknown, stepsBefore, since, older, future);
    }

    private String fingerprint(int length) {
        return Plan.fingerprint(old, recipe, since, length, wish);
    }
}
