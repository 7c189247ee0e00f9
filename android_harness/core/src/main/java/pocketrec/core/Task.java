// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * One task of a bundle, for the user of a {@link Recommender}, which makes it: {@link
 * Recommender#task}. It shares the recommender's model and history; several tasks may be in use at
 * once, and none opens the model again.
 */
public final class Task {
    private final Recommender recommender;
    private final Session session;
    private final Map<String, Integer> rows = new HashMap<>();
    private PersonalState state;
    private String outdated;
    private int epoch;
    private Weights weights;
    private Weights madeFor;

    /** The patch. */
    public final Patch patch;

    Task(Recommender recommender, Session session, Patch patch) throws StateException {
        this.recommender = recommender;
        this.session = session;
        this.patch = patch;
        for (String id : patch.ids) {
            rows.put(id, rows.size() + 1);
        }
        open();
    }

    /** The user's own targets in the task, and the personal patch, as they are now. */
    public PersonalState state() {
        synchronized (recommender) {
            return state;
        }
    }

    /**
     * Why a personal patch was left aside, and what became of the targets; "" = it was not.
     */
    public String outdated() {
        synchronized (recommender) {
            return outdated;
        }
    }

    /** Which weights are in use: global (the patch as it was pulled), or the guard's choice. */
    public String choice() {
        Object choice = state().report.get("choice");
        return choice == null ? Guard.GLOBAL : String.valueOf(choice);
    }

    /** The user's own targets that are known. */
    public int size() {
        return state().rawRows().length;
    }

    /**
     * Adds what the user did in this task; known events are left out, as in {@link
     * Recommender#add}. An event without a time comes after all of the history.
     *
     * @return how many were left out because the task does not know their item
     * @throws ConfigException the task tells classes, of which a device learns nothing
     * @throws StateException the state of the task is damaged
     */
    public int add(List<Event> events) throws PocketRecException {
        if (patch.profile) {
            throw new ConfigException(
                    "the task '"
                            + patch.task
                            + "' tells a class, and has no events: name a task of items");
        }
        synchronized (recommender) {
            refresh();
            double[] times = session.present().rawTimes();
            double after = times.length == 0 ? 0.0 : Math.nextUp(times[times.length - 1]);
            int[] found = new int[events.size()];
            List<Event> given = new ArrayList<>();
            int unknown = 0;
            for (int place = 0; place < found.length; place++) {
                Event one = events.get(place);
                found[place] = rows.getOrDefault(one.item, 0);
                given.add(new Event(one.item, one.time == null ? after : one.time));
                unknown += found[place] == 0 ? 1 : 0;
            }
            state = History.merged(state, given, found, null, Double.POSITIVE_INFINITY);
            return unknown;
        }
    }

    /**
     * Makes the patch personal with the user's own targets in the task, as the patch's recipe and
     * guard say. Each target has the source events before it as its window. Training starts from
     * the shared patch, and pull and guard go to it. A training that its budget stopped leaves the
     * patch that was in use, and begins again at the next call.
     *
     * @param events added first; see {@link #add}
     * @return what was done; with too few targets nothing is, and that is not an error
     * @throws CancelledException cancelled; the patch that was in use stays
     * @throws BundleException the model file trains no tasks, or cannot be opened
     */
    public Report personalise(List<Event> events, TrainingOptions options)
            throws PocketRecException {
        synchronized (recommender) {
            TrainingOptions begun = options.begun();
            int unknown = add(events);
            TaskTraining.Examples examples = examples();
            Personalise outcome;
            try {
                outcome = recommender.train(this, examples, begun);
            } catch (StoppedException stopped) {
                Decision kept = Personalise.undecided(choice(), stopped.getMessage());
                int count = examples.size();
                outcome = new Personalise(kept, null, count, Collections.emptyList(), 0);
            }
            String choice = outcome.decision.choice;
            Report report = new Report(outcome, choice, size(), unknown, 0, 0, 0, 0);
            if (outcome.weights == null) {
                return report;
            }
            PersonalState.Change change = state.change();
            change.weights = choice.equals(Guard.GLOBAL) ? null : outcome.weights;
            change.steps = report.steps;
            change.report = report.toMap();
            state = change.made();
            return report;
        }
    }

    /**
     * Writes the state of the task in one step and keeps the previous generation; gives the file,
     * which lies beside the recommender's.
     *
     * @throws StateException the recommender has no state file
     * @throws StorageException it could not be written, and the old state is still good
     */
    public File save() throws PocketRecException {
        synchronized (recommender) {
            refresh();
            session.path(); // there is one
            File path = session.pathOf(patch.task);
            PersonalState.Change change = state.change();
            change.user = session.user == null ? "" : session.user;
            state = TaskStates.save(
                            path, change.made(), session.bundle.manifest, patch, session.seal);
            return path;
        }
    }

    /** Takes the state of the file, where there is one. */
    private void open() throws StateException {
        epoch = session.epoch;
        File path = session.pathOf(patch.task);
        TaskStates.Read read =
                path == null
                        ? new TaskStates.Read(PersonalState.empty(session.user, 0), "")
                        : TaskStates.load(path, session.bundle.manifest, patch, session.seal);
        state = read.state;
        outdated = read.outdated;
    }

    /** Begins again from the file where history or weights were forgotten or replaced. */
    private void refresh() throws StateException {
        if (epoch != session.epoch) {
            open();
        }
    }

    /** The own targets that have a source event before them, with their windows. */
    private TaskTraining.Examples examples() {
        PersonalState known = session.present();
        int[] history = known.rawRows();
        int[] own = joint(history);
        int window = session.bundle.manifest.fact("window");
        List<int[]> windows = new ArrayList<>();
        List<int[]> histories = new ArrayList<>();
        int[] targets = new int[size()];
        int before = 0;
        for (int place = 0; place < targets.length; place++) {
            while (before < history.length && known.rawTimes()[before] < state.rawTimes()[place]) {
                before++;
            }
            if (before > 0) {
                targets[windows.size()] = state.rawRows()[place];
                windows.add(Windows.context(Arrays.copyOf(history, before), window));
                histories.add(Arrays.copyOf(own, before));
            }
        }
        return new TaskTraining.Examples(
                windows.toArray(new int[0][]),
                Arrays.copyOf(targets, windows.size()),
                histories.toArray(new int[0][]));
    }

    /** The user embedding of the task after the history, float [E]; never sent anywhere. */
    public float[] embed() throws PocketRecException {
        synchronized (recommender) {
            refresh();
            return recommender.embedWith(this);
        }
    }

    /** As the other, among all of the task, asked now. */
    public List<Recommendation> recommend(int k) throws PocketRecException {
        return recommend(k, null, false, System.currentTimeMillis() / 1000.0);
    }

    /**
     * The task's best {@code k} items with their scores, or classes with their probabilities, best
     * first. Equal scores go by frequency in the task; without any event in the history the order
     * is that of frequency, with 1 / place as the score.
     *
     * @param k how many, at least 1
     * @param candidates ids to choose from; unknown ones and repeats are passed over; null = all
     * @param maskSeen leave out items of the history
     * @param now Unix seconds, for a bonus for repeats that looks at times
     * @throws DataException k is below 1, or {@code now} is not a finite number
     */
    public List<Recommendation> recommend(
            int k, List<String> candidates, boolean maskSeen, double now)
            throws PocketRecException {
        if (k < 1) {
            throw new DataException(
                    "k must be at least 1, not " + k + ": ask for one item or more");
        }
        if (Double.isNaN(now) || Double.isInfinite(now)) {
            throw new DataException("now must be a finite number: give Unix seconds");
        }
        synchronized (recommender) {
            refresh();
            int[] chosen = chosen(candidates);
            PersonalState known = session.present();
            int[] own = joint(known.rawRows());
            if (known.rawRows().length == 0) {
                List<Recommendation> first = new ArrayList<>();
                for (int place = 0; place < Math.min(k, chosen.length); place++) {
                    first.add(
                            new Recommendation(
                                    patch.ids.get(chosen[place] - 1), 1.0 / (place + 1)));
                }
                return Collections.unmodifiableList(first);
            }
            float[] scores = told(patch.scores(recommender.embedWith(this), patch.all()), chosen);
            if (!patch.profile) {
                double[] times = known.rawTimes();
                double[] gaps = Repeats.gapsAt(times, times.length, now);
                patch.repeats.addTo(scores, chosen, own, gaps);
            }
            Set<Integer> left = new LinkedHashSet<>();
            for (int row : maskSeen ? own : new int[0]) {
                left.add(row);
            }
            Integer[] order = new Integer[chosen.length];
            Arrays.setAll(order, place -> place);
            Arrays.sort(
                    order,
                    Comparator.<Integer>comparingDouble(place -> -scores[place])
                            .thenComparingInt(place -> chosen[place]));
            List<Recommendation> best = new ArrayList<>();
            for (int place : order) {
                if (best.size() < k && !left.contains(chosen[place])) {
                    best.add(
                            new Recommendation(patch.ids.get(chosen[place] - 1), scores[place]));
                }
            }
            return Collections.unmodifiableList(best);
        }
    }

    /** What the model is to hold for the task, made once for a model's reference. */
    Weights weights(Weights reference) {
        if (state.weights != null) {
            return state.weights;
        }
        if (madeFor != reference) {
            weights = patch.weights(reference);
            madeFor = reference;
        }
        return weights;
    }

    private int[] chosen(List<String> candidates) {
        if (candidates == null) {
            return patch.all();
        }
        Set<Integer> found = new LinkedHashSet<>();
        for (String id : candidates) {
            found.add(rows.getOrDefault(id, 0));
        }
        found.remove(0);
        return found.stream().mapToInt(Integer::intValue).toArray();
    }

    /** Scores of some rows for the application; of classes, probabilities among all. */
    private float[] told(float[] scores, int[] chosen) {
        float[] told = new float[chosen.length];
        double total = patch.profile ? Scores.logSumExp(scores, 0) : 0;
        for (int place = 0; place < chosen.length; place++) {
            float score = scores[chosen[place] - 1];
            told[place] = patch.profile ? (float) Math.exp(score - total) : score;
        }
        return told;
    }

    /** The history in rows of the task; items that are not the task's behind its own. */
    private int[] joint(int[] history) {
        int[] found = new int[patch.profile ? 0 : history.length];
        for (int place = 0; place < found.length; place++) {
            String id = session.bundle.vocabulary.id(history[place]);
            found[place] = rows.getOrDefault(id, patch.ids.size() + history[place]);
        }
        return found;
    }
}
