// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * What may differ from the recipe in one personalisation; every {@code with} gives a changed copy.
 */
public final class TrainingOptions {
    /** The recipe's passes, from wherever the caller's method starts, unobserved. */
    public static final TrainingOptions DEFAULT =
            new TrainingOptions(-1, (done, total, loss) -> {}, new Cancellation());

    final int passes;
    final Progress progress;
    final Cancellation cancellation;

    private TrainingOptions(int passes, Progress progress, Cancellation cancellation) {
        this.passes = passes;
        this.progress = progress;
        this.cancellation = cancellation;
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
        return new TrainingOptions(passes, progress, cancellation);
    }

    /** Called after each train step. */
    public TrainingOptions withProgress(Progress progress) {
        return new TrainingOptions(passes, progress, cancellation);
    }

    /** Through which another thread may end the work. */
    public TrainingOptions withCancellation(Cancellation cancellation) {
        return new TrainingOptions(passes, progress, cancellation);
    }

    int passes(Recipe recipe) {
        return passes < 0 ? recipe.passes : passes;
    }
}
