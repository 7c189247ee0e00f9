// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** Says to a running personalisation, from any thread, that it is not wanted any more. */
public final class Cancellation {
    private volatile boolean cancelled;

    /** Ends the work before its next step; it then throws {@link CancelledException}. */
    public void cancel() {
        cancelled = true;
    }

    /** Whether {@link #cancel} was called. */
    public boolean isCancelled() {
        return cancelled;
    }

    /**
     * Asked before each step.
     *
     * @throws CancelledException {@link #cancel} was called
     */
    public void check() throws CancelledException {
        if (cancelled) {
            throw new CancelledException(
                    "the training was cancelled: start it again when there is time");
        }
    }
}
