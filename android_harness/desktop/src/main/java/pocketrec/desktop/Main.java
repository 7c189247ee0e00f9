// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Bench;
import pocketrec.core.BenchRequest;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.Json;
import pocketrec.core.PocketRecException;

import java.io.File;
import java.io.IOException;
import java.util.Arrays;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/**
 * {@code bench}: what {@code pocketrec bench} measures, measured through core; the last line of
 * output is JSON. {@code request}: what the Android app does when {@code pocketrec android run}
 * asks, the answer a file in a folder. {@code serve}: see {@link Serve}.
 */
public final class Main {
    private static final String USAGE =
            "use: bench --bundle FOLDER [--calls N] [--threads N] [--litert PLACE], or: request"
                    + " --id ID --bundle ZIP --files FOLDER [--runs N] [--threads N] [--xnnpack on]"
                    + " [--litert PLACE], or: serve [--litert PLACE]";
    private static final List<String> BENCH =
            Arrays.asList("--bundle", "--calls", "--threads", "--litert");
    private static final List<String> REQUEST =
            Arrays.asList(
                    "--id", "--bundle", "--files", "--runs", "--threads", "--xnnpack", "--litert");

    private static final List<String> SERVE = Arrays.asList("--litert");

    private Main() {}

    /** Exit status 2 and one line on standard error for what the user can correct. */
    public static void main(String[] arguments) {
        int status = 0;
        try {
            String command = arguments.length == 0 ? "" : arguments[0];
            if (command.equals("bench")) {
                bench(options(arguments, BENCH, 1));
            } else if (command.equals("request")) {
                request(options(arguments, REQUEST, 3));
            } else if (command.equals("serve")) {
                Serve.serve(System.in, System.out, served(options(arguments, SERVE, 0)));
            } else {
                throw new IllegalArgumentException(USAGE);
            }
        } catch (PocketRecException | IllegalArgumentException | IOException error) {
            System.err.println("error: " + error.getMessage());
            status = 2;
        }
        System.exit(status);
    }

    private static void bench(Map<String, String> options) throws PocketRecException {
        int calls = whole(options.getOrDefault("--calls", "100"));
        int threads = whole(options.getOrDefault("--threads", "1"));
        LiteRtRuntime runtime = runtime(options);
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

    private static void request(Map<String, String> options) throws PocketRecException {
        File files = new File(options.get("--files"));
        BenchRequest request =
                new BenchRequest(
                        options.get("--id"),
                        new File(options.get("--bundle")),
                        whole(options.getOrDefault("--runs", "100")),
                        whole(options.getOrDefault("--threads", "1")));
        try {
            if (!options.getOrDefault("--xnnpack", "on").equals("on")) {
                throw new IllegalArgumentException(
                        "LiteRT on a JVM always runs with XNNPACK: leave --xnnpack out");
            }
            File scratch = new File(files, "scratch");
            Map<String, Object> result =
                    request.measure(
                            scratch, runtime(options), new Cancellation(), Collections::emptyMap);
            request.succeed(files, result);
        } catch (PocketRecException | IllegalArgumentException error) {
            request.fail(files, error.getMessage());
        }
    }

    /** LiteRT where a place was named; else null, for stores and pulls need none. */
    private static LiteRtRuntime served(Map<String, String> options) throws PocketRecException {
        return options.isEmpty() ? null : runtime(options);
    }

    private static LiteRtRuntime runtime(Map<String, String> options) throws PocketRecException {
        String litert = options.get("--litert");
        return LiteRtRuntime.find(litert == null ? null : new File(litert));
    }

    /** Options after the command; the first {@code needed} of those known must be there. */
    private static Map<String, String> options(String[] arguments, List<String> known, int needed) {
        Map<String, String> options = new LinkedHashMap<>();
        for (int place = 1; place + 1 < arguments.length; place += 2) {
            if (!known.contains(arguments[place])) {
                throw new IllegalArgumentException(
                        "unknown option " + arguments[place] + ": " + USAGE);
            }
            options.put(arguments[place], arguments[place + 1]);
        }
        if (arguments.length % 2 == 0 || !options.keySet().containsAll(known.subList(0, needed))) {
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
