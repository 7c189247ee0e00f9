// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * Which events lie in the future, as far as this device's clock can tell: device/state/clock.py.
 *
 * <p>An event that is dated after now would stay the latest one for ever. It is kept, and waits: it
 * is neither context nor a target until its time has come. Nothing is called future unless the
 * clock and the log's cut-off agree: the cut-off is a Unix time, in whatever unit, that this clock
 * has passed. Units are told by the size of a time: device/base/times.py.
 */
final class Clock {
    /** Seconds that an event may lie ahead of the clock. */
    static final double TOLERANCE = 86_400.0;

    private static final double[] UNITS = {1.0, 1e3, 1e6, 1e9};
    private static final double EARLIEST = 1e8; // Unix seconds, in 1973
    private static final double LATEST = 5e9; // in 2128

    private Clock() {}

    /**
     * Units of a clock's time in a second: 1, 1e3, 1e6 or 1e9; 0 for a number that is no time since
     * 1970.
     */
    static double perSecond(double time) {
        for (double unit : UNITS) {
            if (time >= EARLIEST * unit && time < LATEST * unit) {
                return unit;
            }
        }
        return 0.0;
    }

    /**
     * A clock's time in the unit of another clock's time; as it is where one of them is no clock's.
     *
     * @param other may be null
     */
    static double inUnitOf(double time, Double other) {
        double wanted = other == null ? 0.0 : perSecond(other);
        double given = perSecond(time);
        return wanted > 0 && given > 0 && wanted != given ? time / given * wanted : time;
    }

    /**
     * The time after which an event lies in the future, in the log's unit; infinite where nothing
     * can be said.
     *
     * @param now the clock, Unix seconds
     * @param cutOff of the manifest, in the log's unit; null = the log has none
     */
    static double futureFrom(double now, Double cutOff) {
        double unit = cutOff == null ? 0.0 : perSecond(cutOff);
        if (unit == 0.0 || cutOff > now * unit) {
            return Double.POSITIVE_INFINITY;
        }
        return (now + TOLERANCE) * unit;
    }
}
