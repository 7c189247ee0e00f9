// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

/** How long a server is waited for; every {@code with} gives a changed copy. */
public final class Patience {
    /** 30 seconds for an answer, 512 bytes a second, six attempts. */
    public static final Patience DEFAULT = new Patience(30, 512, 6, 0.5);

    final double timeout;
    final double slowest;
    final int attempts;
    final double pause;

    private Patience(double timeout, double slowest, int attempts, double pause) {
        if (!(timeout > 0 && slowest >= 0 && attempts >= 1 && pause >= 0)) {
            throw new IllegalArgumentException(
                    "timeout, slowest, attempts or pause is out of range");
        }
        this.timeout = timeout;
        this.slowest = slowest;
        this.attempts = attempts;
        this.pause = pause;
    }

    /** Seconds for a connection and the head of an answer, and between two pieces of its body. */
    public Patience withTimeout(double seconds) {
        return new Patience(seconds, slowest, attempts, pause);
    }

    /** Bytes a second that a body has to come at, on average, once the timeout has passed. */
    public Patience withSlowest(double bytesPerSecond) {
        return new Patience(timeout, bytesPerSecond, attempts, pause);
    }

    /**
     * Failures in a row, without 64 KiB of progress between them, after which a file is given up.
     */
    public Patience withAttempts(int attempts) {
        return new Patience(timeout, slowest, attempts, pause);
    }

    /**
     * Seconds before the second attempt; doubled after each further one, give or take a half, up to
     * 30.
     */
    public Patience withPause(double seconds) {
        return new Patience(timeout, slowest, attempts, seconds);
    }
}
