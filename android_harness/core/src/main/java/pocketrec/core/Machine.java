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
     * System, architecture, processor and number of cores, under the names that {@code pocketrec
     * bench} uses.
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
        return facts;
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
