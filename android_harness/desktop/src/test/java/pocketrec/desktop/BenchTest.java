package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

import pocketrec.core.Bench;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Json;

import java.util.Map;

class BenchTest {
    @Test
    void theResultHasTheFormThatPythonChecks() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        Map<String, Object> result =
                Bench.run(bundle, Reference.runtime(), 1, 3, 1, new Cancellation());
        assertEquals("", Reference.benchProblem(Json.write(result)));
        result.remove("threads");
        assertEquals("error: threads is missing", Reference.benchProblem(Json.write(result)));
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
