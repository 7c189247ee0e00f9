package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

import pocketrec.core.Bench;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Json;

import java.util.List;
import java.util.Map;

class BenchTest {
    @Test
    void theResultHasTheNamesAndTypesOfPocketrecBench() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        Map<String, Object> python =
                Reference.pocketrec(
                        "bench",
                        "--bundle",
                        bundle.folder.toString(),
                        "--calls",
                        "3",
                        "--runtime",
                        "ai_edge_litert");
        Object java =
                Json.parse(
                        Json.write(
                                Bench.run(
                                        bundle, Reference.runtime(), 1, 3, 1, new Cancellation())));
        assertEquals(shape(python), shape(java));
        assertEquals(python.get("model"), Reference.map(java).get("model"));
        assertEquals(python.get("runtime_version"), Reference.map(java).get("runtime_version"));
    }

    /** The value with every leaf replaced by its type. */
    private static Object shape(Object value) {
        if (value instanceof Map) {
            Map<String, Object> shape = new java.util.TreeMap<>();
            for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
                shape.put((String) entry.getKey(), shape(entry.getValue()));
            }
            return shape;
        }
        if (value instanceof List) {
            return "list of " + ((List<?>) value).size();
        }
        return value == null ? "null" : value.getClass().getSimpleName();
    }

    @Test
    void itCanBeCancelled() throws Exception {
        Cancellation cancellation = new Cancellation();
        cancellation.cancel();
        Bundle bundle = Reference.bundle("plain");
        assertThrows(
                CancelledException.class,
                () -> Bench.run(bundle, Reference.runtime(), 1, 3, 1, cancellation));
    }
}
