// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Bundle;
import pocketrec.core.Event;
import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.PocketRecException;

import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** What android_harness/reference.py has written, and the Python runner itself. */
final class Reference {
    private Reference() {}

    static File folder() {
        return new File(property("pocketrec.reference"));
    }

    static LiteRtRuntime runtime() throws PocketRecException {
        return LiteRtRuntime.find(
                new File(property("pocketrec.python")).getParentFile().getParentFile());
    }

    static Bundle bundle(String name) throws PocketRecException {
        return Bundle.open(new File(folder(), name));
    }

    /** A copy of a bundle, free to be changed. */
    static File copy(String name, Path target) throws IOException {
        Path source = new File(folder(), name).toPath();
        try (Stream<Path> files = Files.walk(source)) {
            for (Path file : (Iterable<Path>) files::iterator) {
                Path to = target.resolve(source.relativize(file).toString());
                if (Files.isDirectory(file)) {
                    Files.createDirectories(to);
                } else if (!file.getFileName().toString().startsWith(".")) {
                    Files.copy(file, to, StandardCopyOption.REPLACE_EXISTING);
                }
            }
        }
        return target.toFile();
    }

    /** {@code numbers} or {@code users}. */
    static Map<String, Object> read(String name) throws IOException, JsonException {
        return map(Json.parse(Files.readAllBytes(new File(folder(), name + ".json").toPath())));
    }

    /** Runs the Python package's command line; its last line of output as JSON. */
    static Map<String, Object> pocketrec(String... arguments) throws Exception {
        List<String> command =
                new ArrayList<>(Arrays.asList(property("pocketrec.python"), "-m", "pocketrec.cli"));
        Collections.addAll(command, arguments);
        File errors = File.createTempFile("pocketrec", ".log");
        Process process = new ProcessBuilder(command).redirectError(errors).start();
        byte[] output = readAll(process);
        boolean ended = process.waitFor(120, TimeUnit.SECONDS);
        String said = new String(Files.readAllBytes(errors.toPath()), StandardCharsets.UTF_8);
        errors.delete();
        if (!ended || process.exitValue() != 0) {
            throw new AssertionError(command + " failed: " + said);
        }
        String[] lines = new String(output, StandardCharsets.UTF_8).trim().split("\n");
        return map(Json.parse(lines[lines.length - 1]));
    }

    /** What {@code pocketrec.device.bench.schema} finds wrong with a result; "" = nothing. */
    static String benchProblem(String json) throws Exception {
        File result = File.createTempFile("bench", ".json");
        Files.write(result.toPath(), json.getBytes(StandardCharsets.UTF_8));
        String python = property("pocketrec.python");
        String[] check = {python, "-m", "pocketrec.device.bench.schema", result.getPath()};
        Process process = new ProcessBuilder(check).redirectErrorStream(true).start();
        String said = new String(readAll(process), StandardCharsets.UTF_8).trim();
        boolean good = process.waitFor() == 0;
        result.delete();
        return good ? said : said.isEmpty() ? "it ended without a word" : said;
    }

    static byte[] readAll(Process process) throws IOException {
        java.io.ByteArrayOutputStream content = new java.io.ByteArrayOutputStream();
        byte[] chunk = new byte[8192];
        int length;
        while ((length = process.getInputStream().read(chunk)) >= 0) {
            content.write(chunk, 0, length);
        }
        return content.toByteArray();
    }

    @SuppressWarnings("unchecked")
    static Map<String, Object> map(Object value) {
        return (Map<String, Object>) value;
    }

    static double number(Object value) {
        return ((Number) value).doubleValue();
    }

    static int[] ints(Object list) {
        return ((List<?>) list).stream().mapToInt(one -> ((Number) one).intValue()).toArray();
    }

    static double[] doubles(Object list) {
        return ((List<?>) list).stream().mapToDouble(Reference::number).toArray();
    }

    /** Pairs of item id and time. */
    static List<Event> events(Object list) {
        List<Event> events = new ArrayList<>();
        for (Object pair : (List<?>) list) {
            events.add(
                    new Event((String) ((List<?>) pair).get(0), number(((List<?>) pair).get(1))));
        }
        return events;
    }

    private static String property(String name) {
        String value = System.getProperty(name);
        if (value == null || value.isEmpty()) {
            throw new IllegalStateException(name + " is not set: run `make test-android`");
        }
        return value;
    }
}
