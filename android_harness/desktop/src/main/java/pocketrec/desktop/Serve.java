// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import pocketrec.core.Json;
import pocketrec.core.JsonException;
import pocketrec.core.PocketRecException;

import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStream;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.lang.reflect.Modifier;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * {@code serve}: answers calls that come as one line of JSON each, {@code {"call": NAME,
 * "arguments": [...]}}, with one line: {@code {"result": ...}}, or {@code {"error": CLASS,
 * "message": TEXT}}. Programs in other languages drive the Java runner through it, first of all
 * PocketRec's tests.
 */
final class Serve {
    /** One call. */
    interface Call {
        Object run(Arguments arguments) throws PocketRecException, IOException;
    }

    private Serve() {}

    static void serve(InputStream in, PrintStream out, LiteRtRuntime runtime) throws IOException {
        Map<String, Call> calls = new LinkedHashMap<>();
        new StoreCalls().addTo(calls);
        new PullCalls().addTo(calls);
        new RecommenderCalls(runtime).addTo(calls);
        BufferedReader lines =
                new BufferedReader(new InputStreamReader(in, StandardCharsets.UTF_8));
        String line;
        while ((line = lines.readLine()) != null) {
            out.println(Json.write(answer(calls, line)));
            out.flush();
        }
    }

    private static Map<String, Object> answer(Map<String, Call> calls, String line) {
        Map<String, Object> answer = new LinkedHashMap<>();
        try {
            Map<?, ?> request = (Map<?, ?>) Json.parse(line);
            Call call = calls.get(request.get("call"));
            if (call == null) {
                throw new IllegalArgumentException("no call " + request.get("call"));
            }
            answer.put("result", call.run(new Arguments((List<?>) request.get("arguments"))));
        } catch (PocketRecException
                | JsonException
                | IOException
                | RuntimeException
                | LinkageError error) {
            Class<?> kind = error.getClass();
            while (!Modifier.isPublic(kind.getModifiers())) {
                kind = kind.getSuperclass();
            }
            answer.put("error", kind.getSimpleName());
            answer.put("message", String.valueOf(error.getMessage()));
        }
        return answer;
    }

    /** The arguments of a call, by place. */
    static final class Arguments {
        private final List<?> values;

        Arguments(List<?> values) {
            this.values = values;
        }

        Object at(int place) {
            return place < values.size() ? values.get(place) : null;
        }

        String text(int place) {
            return (String) at(place);
        }

        /** Bytes of hexadecimal digits; null where there are none. */
        byte[] bytes(int place) {
            String digits = text(place);
            if (digits == null) {
                return null;
            }
            byte[] bytes = new byte[digits.length() / 2];
            for (int at = 0; at < bytes.length; at++) {
                bytes[at] = (byte) Integer.parseInt(digits.substring(2 * at, 2 * at + 2), 16);
            }
            return bytes;
        }

        java.io.File file(int place) {
            return at(place) == null ? null : new java.io.File(text(place));
        }

        long number(int place) {
            return (Long) at(place);
        }

        double real(int place) {
            return ((Number) at(place)).doubleValue();
        }

        List<?> list(int place) {
            return (List<?>) at(place);
        }
    }
}
