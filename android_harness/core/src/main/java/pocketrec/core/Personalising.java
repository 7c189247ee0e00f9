// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** One personalisation of a session: from what is to be done to the state that follows. */
final class Personalising {
    private Personalising() {}

    /**
     * Trains; the model holds the state's weights afterwards, whatever happens.
     *
     * @param reference the global weights and slots
     * @param fresh whether events were given, known ones too
     * @param unknown events given whose items the vocabulary lacks, for the report
     * @param resume continue from the present weights
     */
    static Report run(
            Session session,
            Model model,
            Weights reference,
            boolean fresh,
            int unknown,
            boolean resume,
            TrainingOptions options)
            throws PocketRecException {
        PersonalState old = session.present();
        int[] rows = old.rawRows();
        Recipe recipe = session.bundle.recipe;
        int before = session.since();
        int since = Guard.learnedSince(rows.length, before);
        int older = since - before;
        int future = session.state.rawRows().length - rows.length;
        int first = Guard.learnedSince(rows.length, recipe.firstTarget(since));
        int replayFrom = -1;
        int learn = Guard.eventsToLearn(rows, since);
        boolean resumed = resume && old.weights != null;
        if (resumed && (old.trained < rows.length || fresh)) {
            replayFrom = first;
            since = first = Math.max(first, old.trained);
        }
        Guard.Start start =
                new Guard.Start(
                        since,
                        first,
                        replayFrom,
                        learn,
                        resumed ? old.weights : reference,
                        resumed ? old.steps : 0);
        Personalise outcome;
        boolean done = false;
        try {
            outcome =
                    Personalise.follow(
                            model,
                            rows,
                            old.rawTimes(),
                            start,
                            resumed,
                            recipe,
                            reference,
                            options);
            done = true;
        } finally {
            if (!done) {
                model.importWeights(old.weights == null ? reference : old.weights);
            }
        }
        String choice =
                outcome.decision.choice.equals(Personalise.UNCHANGED)
                        ? String.valueOf(old.report.get("choice"))
                        : outcome.decision.choice;
        Report report =
                new Report(
                        outcome, choice, rows.length, unknown, start.step, before, older, future);
        boolean learned = !outcome.losses.isEmpty();
        session.state =
                session.state.withTraining(
                        choice.equals(Guard.GLOBAL) ? null : outcome.weights,
                        learned ? rows.length : resumed ? old.trained : 0,
                        learned ? session.stored() : resumed ? old.through : 0,
                        report.steps,
                        report.toMap());
        session.file.changes.trained = true;
        return report;
    }
}
