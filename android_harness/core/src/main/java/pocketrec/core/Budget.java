// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.math.BigDecimal;
import java.math.MathContext;
import java.nio.charset.StandardCharsets;
import java.util.function.Supplier;

/**
 * How long, up to which temperature, and while which other condition holds, one call of {@code
 * personalise} may train; a training that it stops goes on at the next call. The rules of
 * device/personal/budget.py. Every {@code with} gives a changed copy.
 */
public final class Budget {
    /** No limit. */
    public static final Budget NONE = new Budget(null, null, new File("/sys/class/thermal"), null);

    private static final double INTERVAL = 1.0; // seconds between two readings of the temperature

    private final Double seconds;
    private final Double celsius;
    private final File zones;
    private final Supplier<String> other;

    private Budget(Double seconds, Double celsius, File zones, Supplier<String> other) {
        this.seconds = seconds;
        this.celsius = celsius;
        this.zones = zones;
        this.other = other;
    }

    /**
     * Wall time of adding, training and judging; at least one step is made.
     *
     * @throws ConfigException not above 0
     */
    public Budget withSeconds(double seconds) throws ConfigException {
        if (!(seconds > 0)) {
            throw new ConfigException(
                    "the seconds of a budget must be above 0, not "
                            + seconds
                            + ": give a larger number");
        }
        return new Budget(seconds, celsius, zones, other);
    }

    /**
     * Temperature in degrees Celsius, of the hottest thermal zone of Linux, at which a training
     * stops, and does not begin. Applications on Android may not read these zones: see {@link
     * #withReason}.
     *
     * @throws ConfigException no such limit can be meant
     */
    public Budget withCelsius(double celsius) throws ConfigException {
        if (!(celsius > -50 && celsius < 200)) {
            throw new ConfigException(
                    celsius + " degrees Celsius are no limit: give a number such as 70");
        }
        return new Budget(seconds, celsius, zones, other);
    }

    /** Folder of the thermal zones. */
    public Budget withZones(File zones) {
        return new Budget(seconds, celsius, zones, other);
    }

    /**
     * Asked before each step of training and of comparison: why to stop here, such as the device's
     * thermal status, its battery or a job that is to end; "" = go on.
     */
    public Budget withReason(Supplier<String> reason) {
        return new Budget(seconds, celsius, zones, reason);
    }

    /**
     * What to ask before each step, from now on: why to stop, "" = go on.
     *
     * @throws ConfigException there is a limit of the temperature, and none can be read here
     */
    Supplier<String> start() throws ConfigException {
        if (celsius != null && Double.isNaN(hottest(zones))) {
            throw new ConfigException(
                    "no temperature can be read in "
                            + zones
                            + ": leave the limit out on this machine");
        }
        return new Running();
    }

    /** The clock of one call. */
    private final class Running implements Supplier<String> {
        private final long started = System.nanoTime();
        private double read = -INTERVAL; // when the temperature was
        private boolean stepped;

        @Override
        public String get() {
            double now = (System.nanoTime() - started) / 1e9;
            if (celsius != null && now - read >= INTERVAL) {
                read = now;
                double degrees = hottest(zones);
                if (degrees >= celsius) {
                    read = -INTERVAL; // look again at the next call
                    return (long) Math.rint(degrees)
                            + " degrees Celsius, the limit is "
                            + brief(celsius);
                }
            }
            boolean first = !stepped;
            stepped = true;
            if (seconds != null && !first && now >= seconds) {
                return brief(seconds) + " s are over";
            }
            return other == null ? "" : other.get();
        }
    }

    /** A number with six digits, as Python's format g gives it for limits that people set. */
    private static String brief(double number) {
        double rounded = new BigDecimal(number).round(new MathContext(6)).doubleValue();
        String text = Text.number(rounded);
        return text.endsWith(".0") ? text.substring(0, text.length() - 2) : text;
    }

    /** Temperature of the hottest thermal zone, in degrees Celsius; NaN where none can be read. */
    static double hottest(File zones) {
        double hottest = Double.NaN;
        File[] found = zones.listFiles((folder, name) -> name.startsWith("thermal_zone"));
        for (File zone : found == null ? new File[0] : found) {
            try {
                byte[] content = Storage.read(new File(zone, "temp"));
                String text = new String(content, StandardCharsets.US_ASCII).trim();
                double degrees = Integer.parseInt(text) / 1000.0;
                hottest = Double.isNaN(hottest) ? degrees : Math.max(hottest, degrees);
            } catch (IOException | NumberFormatException error) {
                // a sensor that is asleep
            }
        }
        return hottest;
    }
}
