package pocketrec.desktop;

import pocketrec.core.Bench;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.Json;
import pocketrec.core.PocketRecException;

import java.io.File;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * {@code bench}: what {@code pocketrec bench} measures, measured through core. The last line of
 * output is JSON.
 */
public final class Main {
    private static final String USAGE =
            "use: bench --bundle FOLDER [--calls N] [--threads N] [--litert PLACE]";
    private static final List<String> OPTIONS =
            Arrays.asList("--bundle", "--calls", "--threads", "--litert");

    private Main() {}

    /** Exit status 2 and one line on standard error for what the user can mend. */
    public static void main(String[] arguments) {
        int status = 0;
        try {
            bench(options(arguments));
        } catch (PocketRecException | IllegalArgumentException error) {
            System.err.println("error: " + error.getMessage());
            status = 2;
        }
        System.exit(status);
    }

    private static void bench(Map<String, String> options) throws PocketRecException {
        int calls = whole(options.getOrDefault("--calls", "100"));
        int threads = whole(options.getOrDefault("--threads", "1"));
        String litert = options.get("--litert");
        LiteRtRuntime runtime = LiteRtRuntime.find(litert == null ? null : new File(litert));
        Bundle bundle = Bundle.open(new File(options.get("--bundle")));
        Map<String, Object> result =
                Bench.run(bundle, runtime, threads, calls, 1, new Cancellation());
        System.out.println(
                runtime.name()
                        + " "
                        + runtime.version()
                        + ", Java "
                        + System.getProperty("java.version")
                        + ", "
                        + threads
                        + " thread(s)");
        System.out.println("call   first ms    p50 ms    p90 ms    p99 ms");
        for (String kind : Arrays.asList("train", "embed", "infer")) {
            System.out.println(
                    String.format(
                            Locale.ROOT,
                            "%-5s %9.3f %9.3f %9.3f %9.3f",
                            kind,
                            result.get(kind + "_first_ms"),
                            result.get(kind + "_ms_p50"),
                            result.get(kind + "_ms_p90"),
                            result.get(kind + "_ms_p99")));
        }
        System.out.println(
                "memory: "
                        + result.get("rss_before_mb")
                        + " MB before loading, peak "
                        + result.get("peak_rss_mb")
                        + " MB");
        System.out.println(Json.write(result));
    }

    private static Map<String, String> options(String[] arguments) {
        Map<String, String> options = new LinkedHashMap<>();
        for (int place = 1; place + 1 < arguments.length; place += 2) {
            if (!OPTIONS.contains(arguments[place])) {
                throw new IllegalArgumentException(
                        "unknown option " + arguments[place] + ": " + USAGE);
            }
            options.put(arguments[place], arguments[place + 1]);
        }
        if (arguments.length % 2 == 0
                || !arguments[0].equals("bench")
                || !options.containsKey("--bundle")) {
            throw new IllegalArgumentException(USAGE);
        }
        return options;
    }

    private static int whole(String text) {
        try {
            return Integer.parseInt(text);
        } catch (NumberFormatException error) {
            throw new IllegalArgumentException("'" + text + "' is not a whole number: " + USAGE);
        }
    }
}
