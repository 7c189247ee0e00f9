// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.BufferedReader;
import java.io.FileInputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** This machine and this process's memory, as the operating system tells. */
final class Machine {
    private Machine() {}

    /**
     * System, architecture, processor, number of cores and frequency governor, under the names that
     * {@code pocketrec bench} uses.
     */
    static Map<String, Object> facts() {
        String processor = "";
        for (String line : lines("/proc/cpuinfo")) {
            String lower = line.toLowerCase(Locale.ROOT);
            boolean model = lower.startsWith("model name");
            if (line.indexOf(':') >= 0
                    && (model || lower.startsWith("hardware") || lower.startsWith("model\t"))) {
                processor = line.substring(line.indexOf(':') + 1).trim();
                if (model) {
                    break;
                }
            }
        }
        String architecture = System.getProperty("os.arch", "");
        Map<String, Object> facts = new LinkedHashMap<>();
        facts.put(
                "system",
                System.getProperty("os.name", "") + " " + System.getProperty("os.version", ""));
        facts.put("architecture", architecture.equals("amd64") ? "x86_64" : architecture);
        facts.put("processor", processor);
        facts.put("cores", (long) Runtime.getRuntime().availableProcessors());
        facts.put(
                "governor", first("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").trim());
        return facts;
    }

    /** Temperature of the hottest thermal zone in degrees Celsius; null where none can be read. */
    static Double hottest() {
        Double hottest = null;
        java.io.File[] zones = new java.io.File("/sys/class/thermal").listFiles();
        for (java.io.File zone : zones == null ? new java.io.File[0] : zones) {
            try {
                double degrees = Integer.parseInt(first(zone + "/temp").trim()) / 1000.0;
                hottest = hottest == null ? degrees : Math.max(hottest, degrees);
            } catch (NumberFormatException asleep) {
                // no zone, or a sensor that gives nothing now
            }
        }
        return hottest;
    }

    private static String first(String path) {
        for (String line : lines(path)) {
            return line;
        }
        return "";
    }

    /** Resident set size now, in MB (10^6 bytes); 0 where the system does not tell. */
    static double residentMb() {
        return status("VmRSS:");
    }

    /**
     * Largest resident set size since the process started, in MB (10^6 bytes); 0 where the system
     * does not tell.
     */
    static double peakResidentMb() {
        return status("VmHWM:");
    }

    private static double status(String field) {
        for (String line : lines("/proc/self/status")) {
            if (line.startsWith(field)) {
                return Long.parseLong(line.substring(field.length()).trim().split(" ")[0])
                        * 1024
                        / 1e6;
            }
        }
        return 0;
    }

    private static Iterable<String> lines(String path) {
        java.util.List<String> lines = new java.util.ArrayList<>();
        try (BufferedReader reader =
                new BufferedReader(
                        new InputStreamReader(new FileInputStream(path), StandardCharsets.UTF_8))) {
            for (String line = reader.readLine(); line != null; line = reader.readLine()) {
                lines.add(line);
            }
        } catch (IOException error) {
            // another system: nothing is known
        }
        return lines;
    }
}
