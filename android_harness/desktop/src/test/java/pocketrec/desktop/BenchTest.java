// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;

import pocketrec.core.Bench;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Interpreter;
import pocketrec.core.Json;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.SignatureRunner;

import java.io.File;
import java.util.Collections;
import java.util.Map;
import java.util.Set;

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

    /** What a caller says of the process's memory would leave the model out otherwise. */
    @Test
    void theCallersTablesAreTakenWhileTheModelIsOpen() throws Exception {
        OpenModels runtime = new OpenModels(Reference.runtime());
        Map<String, Object> result =
                Bench.run(
                        Reference.bundle("plain"),
                        runtime,
                        1,
                        3,
                        1,
                        new Cancellation(),
                        () -> Collections.singletonMap("open", runtime.open));
        assertEquals(1, result.get("open"));
        assertEquals(0, runtime.open);
        assertEquals("", Reference.benchProblem(Json.write(result)));
    }

    /** Counts the models that are open. */
    private static final class OpenModels implements ModelRuntime {
        private final ModelRuntime real;
        int open;

        OpenModels(ModelRuntime real) {
            this.real = real;
        }

        @Override
        public String name() {
            return real.name();
        }

        @Override
        public String version() {
            return real.version();
        }

        @Override
        public Interpreter open(File model, int threads) throws PocketRecException {
            Interpreter opened = real.open(model, threads);
            open++;
            return new Interpreter() {
                @Override
                public Set<String> signatures() {
                    return opened.signatures();
                }

                @Override
                public SignatureRunner signature(String name) throws PocketRecException {
                    return opened.signature(name);
                }

                @Override
                public void close() {
                    open--;
                    opened.close();
                }
            };
        }
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
