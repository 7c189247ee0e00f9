// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * Mean differences against the global weights on the held-back targets; positive = better than
 * global.
 */
public final class Observed {
    /** Nats a target. */
    public final double loglik;

    /** Reciprocal rank in the full catalogue. */
    public final double rr;

    Observed(double loglik, double rr) {
        this.loglik = loglik;
        this.rr = rr;
    }

    boolean finite() {
        return !Double.isNaN(loglik)
                && !Double.isInfinite(loglik)
                && !Double.isNaN(rr)
                && !Double.isInfinite(rr);
    }
}
