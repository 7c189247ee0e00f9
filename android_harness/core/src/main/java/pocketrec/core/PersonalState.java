// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.List;
import java.util.Map;

/** What one user's device keeps between runs. */
public final class PersonalState {
    /** User id; "" where the application gave none. */
    public final String user;

    /** Trainable tensors and slots; null = the global ones. */
    public final Weights weights;

    /** Number of the history's first events that personal training has seen; 0 = never trained. */
    public final int trained;

    /** Train steps made since the global weights. */
    public final int steps;

    /** The last personalisation's report, as JSON values; empty where there was none. */
    public final Map<String, Object> report;

    /** How many times the state was written. */
    public final int generation;

    /** Identity of the event store that holds the history; "" = the state does. */
    public final String store;

    /** Number of the store's last event that training has seen. */
    public final long through;

    /** How often events were forgotten where the state holds them. */
    public final int forgotten;

    /** A training that was stopped for its budget; null = none was. */
    final Pending pending;

    /**
     * Fingerprint of what the last personalisation was about ({@link Plan#fingerprint}); "" =
     * unknown.
     */
    final String learned;

    /** Item id of each different row of the history, by rising row; empty = not noted. */
    final List<String> items;

    /** SHA-256 of the vocabulary that the rows belong to; "" = of the bundle at hand. */
    final String vocabulary;

    private final int[] rows;
    private final double[] times;

    private PersonalState(Change change) {
        user = change.user;
        rows = change.rows;
        times = change.times;
        weights = change.weights;
        trained = change.trained;
        steps = change.steps;
        report = Collections.unmodifiableMap(change.report);
        generation = change.generation;
        store = change.store;
        through = change.through;
        forgotten = change.forgotten;
        pending = change.pending;
        learned = change.learned;
        items = change.items;
        vocabulary = change.vocabulary;
    }

    /** A state without events and with the global weights. */
    static PersonalState empty(String user, int generation) {
        Change change = new Change();
        change.user = user == null ? "" : user;
        change.generation = generation;
        return change.made();
    }

    /** History as item rows, int [n], oldest first, no 0. */
    public int[] rows() {
        return rows.clone();
    }

    /** Time of each event, double [n], in the log's unit. */
    public double[] times() {
        return times.clone();
    }

    /** Train steps made of a training that was stopped for its budget; 0 = none was. */
    public int paused() {
        return pending == null ? 0 : Math.max(1, pending.paused.course.done);
    }

    int[] rawRows() {
        return rows;
    }

    double[] rawTimes() {
        return times;
    }

    /** A copy to be changed. */
    Change change() {
        Change change = new Change();
        change.user = user;
        change.rows = rows;
        change.times = times;
        change.weights = weights;
        change.trained = trained;
        change.steps = steps;
        change.report = report;
        change.generation = generation;
        change.store = store;
        change.through = through;
        change.forgotten = forgotten;
        change.pending = pending;
        change.learned = learned;
        change.items = items;
        change.vocabulary = vocabulary;
        return change;
    }

    PersonalState withHistory(int[] newRows, double[] newTimes, int newTrained) {
        Change change = change();
        change.rows = newRows;
        change.times = newTimes;
        change.trained = newTrained;
        return change.made();
    }

    /** The state without its events; the weights stay. */
    PersonalState withoutHistory() {
        return withHistory(new int[0], new double[0], 0);
    }

    /** The values of a state that is to be made. */
    static final class Change {
        String user = "";
        int[] rows = new int[0];
        double[] times = new double[0];
        Weights weights;
        int trained;
        int steps;
        Map<String, Object> report = Collections.emptyMap();
        int generation;
        String store = "";
        long through;
        int forgotten;
        Pending pending;
        String learned = "";
        List<String> items = Collections.emptyList();
        String vocabulary = "";

        /** Takes what a personalisation changes from another state, apart from {@link #trained}. */
        void learnedFrom(PersonalState other) {
            weights = other.weights;
            steps = other.steps;
            report = other.report;
            pending = other.pending;
            learned = other.learned;
            through = other.through;
        }

        PersonalState made() {
            return new PersonalState(this);
        }
    }
}
