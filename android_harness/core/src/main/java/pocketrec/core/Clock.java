package pocketrec.core;

/**
 * Which events lie in the future, as far as this device's clock can tell: device/state/clock.py.
 *
 * <p>An event that is dated after now would stay the latest one for ever. It is kept, and waits: it
 * is neither context nor a target until its time has come. Nothing is called future unless the
 * clock and the log's cut-off agree: the cut-off is a time in Unix seconds that this clock has
 * passed.
 */
final class Clock {
    /** Seconds that an event may lie ahead of the clock. */
    static final double TOLERANCE = 86_400.0;

    private static final double SECONDS = 1e8; // a smaller cut-off is a place in a log

    private Clock() {}

    /**
     * The time after which an event lies in the future; infinite where nothing can be said.
     *
     * @param now the clock, Unix seconds
     * @param cutOff of the manifest, in the log's unit; null = the log has none
     */
    static double futureFrom(double now, Double cutOff) {
        if (cutOff == null || cutOff < SECONDS || cutOff > now) {
            return Double.POSITIVE_INFINITY;
        }
        return now + TOLERANCE;
    }
}
