// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Ranking a user's new events before they are learned, by the global weights and by those in use:
 * the rules of device/state/watching.py. What is ranked is what {@link Recommender#recommend} would
 * have offered right before the event.
 */
final class Watching {
    private static final int AT_ONCE = 500; // events that are ranked at a time, at most
    private static final int PART = 25; // events between two changes of the weights

    private static final byte[] SEALED = Text.utf8("pocketrec sealed quality 1\n");

    private static final String WORSE =
            "the personal weights ranked new events worse than the global ones for long";

    private final Session session;
    private final Serving serving;
    private Quality quality; // null = not read yet

    Watching(Session session, Serving serving) {
        this.session = session;
        this.serving = serving;
    }

    /**
     * What is known; read from the file at first, and begun again where events were forgotten.
     */
    Quality quality() throws PocketRecException {
        Quality found = quality;
        File path = session.file.path;
        if (found == null && path != null) {
            found = read(path);
            if (found != null && found.generation > session.state.generation) {
                found = null; // of a state that is gone
            }
        }
        String bound = bound();
        Quality.Change change = found == null ? new Quality.Change() : found.change();
        if (found == null) {
            change.bound = bound;
        } else if (!found.bound.equals(bound)) {
            change = new Quality.Change();
            change.bound = bound;
            change.watch = found.watch.anew();
            double[] times = session.present().rawTimes();
            change.mark = Quality.Mark.after(times, times.length, session.history.dropped());
        }
        String model = session.bundle.manifest.modelId;
        if (!change.modelId.equals(model)) {
            change.watch = change.watch.anew();
            change.modelId = model;
        }
        quality = change.made();
        return quality;
    }

    /**
     * Ranks what is new; goes back to the global weights where those in use were worse for long.
     *
     * @param cancellation asked between the parts
     */
    void look(Cancellation cancellation) throws PocketRecException {
        session.refresh();
        passOver();
        while (lookAtPart()) {
            cancellation.check();
        }
    }

    /** Notes what a personalisation came to. */
    void decided(Report report) throws PocketRecException {
        if (report.paused > 0) {
            return;
        }
        Map<String, Object> told = new LinkedHashMap<>();
        told.put("events", (long) report.events);
        told.put("heldback", (long) report.heldback);
        told.put("expected_gain", report.expectedGain);
        note(report.choice, report.reason, told);
    }

    /** Drops the file before events are forgotten: it has the time of one. */
    void forget() throws PocketRecException {
        quality();
        if (session.file.path != null) {
            States.dropQuality(session.file.path);
        }
    }

    /** Takes what lies beside the state file, which was read again. */
    void reload() {
        quality = null;
    }

    /**
     * Writes the state, and what is known beside it. A thread that was interrupted, such as that of
     * a job which is to end, does so too, and stays interrupted.
     */
    void saveBoth() throws PocketRecException {
        boolean interrupted = Thread.interrupted(); // it would close the files' channels
        try (FileLock together = FileLock.of(session.path())) { // nobody saves between the two
            session.save();
            save();
        } finally {
            if (interrupted) {
                Thread.currentThread().interrupt();
            }
        }
    }

    /**
     * Writes it beside the state that was just written; where that cannot be done, it stays in
     * memory. What is there counts if it came from another holder of this state and has looked at
     * later events.
     */
    private void save() throws PocketRecException {
        File path = session.path();
        Quality.Change change = quality().change();
        change.generation = session.state.generation;
        Quality mine = change.made();
        try {
            Quality other = read(path);
            boolean ours =
                    other != null
                            && other.bound.equals(mine.bound)
                            && other.generation < mine.generation;
            if (ours && (other.mark == null ? mine.mark == null : other.mark.later(mine.mark))) {
                change = other.change();
                change.generation = mine.generation;
                mine = change.made();
            }
            if (mine.mark == null && mine.decisions.isEmpty()) {
                States.dropQuality(path); // what is there is about a history begun again
            } else {
                Storage.sweep(States.qualityOf(path), 3_600_000);
                byte[] content = StateFile.sealed(session.seal, SEALED, mine.toBytes());
                Storage.writeAtomic(States.qualityOf(path), content, null);
            }
        } catch (StorageException error) {
            return;
        }
        quality = mine;
    }

    /** What lies beside a state file; null where there is nothing that can be used. */
    private Quality read(File path) {
        try {
            byte[] content = Storage.read(States.qualityOf(path));
            if (StateFile.begins(content, SEALED) != (session.seal != null)) {
                return null;
            }
            return Quality.of(
                    session.seal == null
                            ? content
                            : StateFile.opened(session.seal, SEALED, content));
        } catch (IOException | SealException error) {
            return null;
        }
    }

    /** What changes where events are forgotten. */
    private String bound() {
        String identity = session.history.identity();
        return identity.isEmpty() ? "state:" + session.state.forgotten : identity;
    }

    /** Index of the first event that is to be ranked. */
    private int first(PersonalState known) throws PocketRecException {
        Quality.Mark mark = quality().mark;
        int looked = mark == null ? 0 : mark.index(known.rawTimes(), session.history.dropped());
        int from = Math.max(session.state.trained, looked);
        return Math.max(Math.max(1, session.since()), from);
    }

    /** Leaves out the oldest of too many new events. */
    private void passOver() throws PocketRecException {
        PersonalState known = session.present();
        int first = first(known);
        int over = known.rawTimes().length - first - AT_ONCE;
        if (over > 0) {
            Quality.Change change = quality().change();
            change.mark =
                    Quality.Mark.after(known.rawTimes(), first + over, session.history.dropped());
            change.passed += over;
            quality = change.made();
        }
    }

    /** Ranks the next few events; whether there were any. */
    private boolean lookAtPart() throws PocketRecException {
        PersonalState known = session.present();
        int first = first(known);
        int last = Math.min(known.rawRows().length, first + PART);
        if (first >= last) {
            return false;
        }
        List<Integer> places = new ArrayList<>();
        for (int place = first; place < last; place++) {
            if (session.bundle.vocabulary.isItem(known.rawRows()[place])) {
                places.add(place);
            }
        }
        double share = Answers.share(session);
        List<Integer> global = ranks(known, places, null, 0.0);
        List<Integer> own =
                share == 0 ? global : ranks(known, places, session.state.weights, share);
        List<int[]> pairs = new ArrayList<>();
        double[] gains = new double[places.size()];
        for (int at = 0; at < gains.length; at++) {
            pairs.add(new int[] {global.get(at), own.get(at)});
            gains[at] = share == 0 ? 0.0 : reciprocal(own.get(at)) - reciprocal(global.get(at));
        }
        Quality.Mark mark = Quality.Mark.after(known.rawTimes(), last, session.history.dropped());
        Watch before = quality().watch;
        Quality.Change change = quality().withRanks(pairs, mark).change();
        if (share > 0 || before.globalAlone()) { // then what is ranked by global counts
            change.watch = before.after(gains);
        }
        quality = change.made();
        if (share > 0 && quality.watch.alarm() && session.bundle.recipe.guard.enabled) {
            goBack(share);
        }
        return true;
    }

    private static double reciprocal(int rank) {
        return rank > 0 ? 1.0 / rank : 0.0;
    }

    /** Rank of the event at each place by these weights; 0 = a miss. */
    private List<Integer> ranks(
            PersonalState known, List<Integer> places, Weights weights, double share)
            throws PocketRecException {
        List<Integer> found = new ArrayList<>();
        if (places.isEmpty()) {
            return found;
        }
        Model model = serving.holding(weights);
        Answers.Offered offered = new Answers.Offered(session, model);
        Ranking ranking = new Ranking(session.bundle, model, share);
        for (int place : places) {
            int[] history = Arrays.copyOf(known.rawRows(), place);
            double[] times = Arrays.copyOf(known.rawTimes(), place);
            int[] rows = offered.rows(history, Quality.DEEPEST);
            double now = known.rawTimes()[place];
            int rank = 0;
            try {
                int[] best = ranking.best(rows, history, times, now, Quality.DEEPEST).rows;
                for (int at = 0; at < best.length && rank == 0; at++) {
                    rank = best[at] == known.rawRows()[place] ? at + 1 : 0;
                }
            } catch (StateException error) {
                // weights that give no numbers recommend nothing
            }
            found.add(rank);
        }
        return found;
    }

    /** Goes back to the global weights. */
    private void goBack(double share) throws PocketRecException {
        int events = session.present().rawRows().length;
        int learn = Guard.eventsToLearn(events, session.since());
        Decision decision = Personalise.undecided(Guard.GLOBAL, WORSE);
        Report told =
                new Report(
                        new Personalise(decision, null, learn, Collections.emptyList(), 0),
                        Guard.GLOBAL,
                        events,
                        0,
                        0,
                        0,
                        0,
                        0);
        PersonalState.Change change = session.state.change();
        change.learnedFrom(PersonalState.empty(null, 0));
        change.trained = 0;
        change.report = told.toMap();
        session.state = change.made();
        session.file.changes.trained = true;
        Quality.Change after = quality().change();
        after.watch = after.watch.returned(share);
        quality = after.made();
        note(Guard.GLOBAL, WORSE, Collections.emptyMap());
    }

    private void note(String choice, String reason, Map<String, Object> told)
            throws PocketRecException {
        Map<String, Object> decision = new LinkedHashMap<>();
        decision.put("history", (long) session.present().rawRows().length);
        decision.put("ranked", (long) quality().ranked);
        decision.put("choice", choice);
        decision.put("reason", reason);
        decision.putAll(told);
        quality = quality().withDecision(decision);
    }
}
