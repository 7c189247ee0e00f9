package pocketrec.core;

import java.util.Collections;
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

    private final int[] rows;
    private final double[] times;

    PersonalState(
            String user,
            int[] rows,
            double[] times,
            Weights weights,
            int trained,
            int steps,
            Map<String, Object> report,
            int generation) {
        this.user = user;
        this.rows = rows;
        this.times = times;
        this.weights = weights;
        this.trained = trained;
        this.steps = steps;
        this.report = Collections.unmodifiableMap(report);
        this.generation = generation;
    }

    static PersonalState empty(String user, int generation) {
        return new PersonalState(
                user, new int[0], new double[0], null, 0, 0, Collections.emptyMap(), generation);
    }

    /** History as item rows, int [n], oldest first, no 0. */
    public int[] rows() {
        return rows.clone();
    }

    /** Time of each event, double [n], in the log's unit. */
    public double[] times() {
        return times.clone();
    }

    int[] rawRows() {
        return rows;
    }

    double[] rawTimes() {
        return times;
    }

    PersonalState withHistory(int[] newRows, double[] newTimes, int newTrained) {
        return new PersonalState(
                user, newRows, newTimes, weights, newTrained, steps, report, generation);
    }

    PersonalState withTraining(
            Weights newWeights, int newTrained, int newSteps, Map<String, Object> newReport) {
        return new PersonalState(
                user, rows, times, newWeights, newTrained, newSteps, newReport, generation);
    }

    PersonalState saved(String newUser) {
        return new PersonalState(
                newUser, rows, times, weights, trained, steps, report, generation + 1);
    }
}
