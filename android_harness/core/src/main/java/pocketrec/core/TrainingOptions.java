// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.function.Supplier;

/**
 * What may differ from the recipe in one personalisation; every {@code with} gives a changed copy.
 */
public final class TrainingOptions {
    /** The recipe's passes, from wherever the caller's method starts, unobserved. */
    public static final TrainingOptions DEFAULT = new TrainingOptions();

    int passes = -1;
    Progress progress = (done, total, loss) -> {};
    Cancellation cancellation = new Cancellation();
    Budget budget = Budget.NONE;
    boolean ifNew;

    /** Largest share of the personal weights that the guard may choose; see {@link Watch}. */
    double most = 1.0;

    private Supplier<String> stop = () -> "";

    private TrainingOptions() {}

    private TrainingOptions copy() {
        TrainingOptions copy = new TrainingOptions();
        copy.passes = passes;
        copy.progress = progress;
        copy.cancellation = cancellation;
        copy.budget = budget;
        copy.ifNew = ifNew;
        copy.most = most;
        copy.stop = stop;
        return copy;
    }

    /**
     * Passes over the windows, at least 0, instead of the recipe's.
     *
     * @throws IllegalArgumentException below 0
     */
    public TrainingOptions withPasses(int passes) {
        if (passes < 0) {
            throw new IllegalArgumentException("passes must be at least 0, not " + passes);
        }
        TrainingOptions copy = copy();
        copy.passes = passes;
        return copy;
    }

    /** Called after each train step. */
    public TrainingOptions withProgress(Progress progress) {
        TrainingOptions copy = copy();
        copy.progress = progress;
        return copy;
    }

    /** Through which another thread may end the work. */
    public TrainingOptions withCancellation(Cancellation cancellation) {
        TrainingOptions copy = copy();
        copy.cancellation = cancellation;
        return copy;
    }

    /**
     * How long it may train at a time. What the budget stops is no error: the report says {@link
     * Report#paused}, the weights stay, and the next call with the same arguments goes on.
     */
    public TrainingOptions withBudget(Budget budget) {
        TrainingOptions copy = copy();
        copy.budget = budget;
        return copy;
    }

    /**
     * Nothing is done where the last call that came to its end had this very history, recipe and
     * arguments: the model is not even opened, and the report's reason is {@link
     * Report#NOTHING_NEW}. A task's training does not ask.
     */
    public TrainingOptions onlyIfNew() {
        TrainingOptions copy = copy();
        copy.ifNew = true;
        return copy;
    }

    /** The same with the clock of its budget running. */
    TrainingOptions begun() throws ConfigException {
        TrainingOptions copy = copy();
        copy.stop = budget.start();
        return copy;
    }

    /** The same where the guard may choose at most a share of the personal weights. */
    TrainingOptions withMost(double most) {
        TrainingOptions copy = copy();
        copy.most = most;
        return copy;
    }

    /**
     * Asked before each step of training and of comparison.
     *
     * @throws CancelledException the application does not want it any more
     * @throws StoppedException the budget is used up
     */
    void check() throws CancelledException, StoppedException {
        cancellation.check();
        String reason = stop.get();
        if (!reason.isEmpty()) {
            throw new StoppedException(reason, null);
        }
    }

    int passes(Recipe recipe) {
        return passes < 0 ? recipe.passes : passes;
    }
}
