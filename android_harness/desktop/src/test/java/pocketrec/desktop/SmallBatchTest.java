// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import pocketrec.core.Bundle;
import pocketrec.core.DataException;
import pocketrec.core.Interpreter;
import pocketrec.core.Model;
import pocketrec.core.ModelRuntime;
import pocketrec.core.SignatureRunner;
import pocketrec.core.Weights;
import pocketrec.core.Windows;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** A step of few windows by the small batch: as in Python, and as the whole batch has it. */
class SmallBatchTest {
    private final List<String> run = new ArrayList<>(); // signatures, as they were run

    /** The runtime, with the names of the signatures that it runs noted down. */
    private ModelRuntime noted() throws Exception {
        ModelRuntime runtime = Reference.runtime();
        return wrapped(
                ModelRuntime.class,
                runtime,
                (opened, none) ->
                        opened instanceof Interpreter
                                ? wrapped(Interpreter.class, (Interpreter) opened, this::runner)
                                : opened);
    }

    private Object runner(Object found, Object[] arguments) {
        if (!(found instanceof SignatureRunner)) {
            return found;
        }
        SignatureRunner own = (SignatureRunner) found;
        return Proxy.newProxyInstance(
                getClass().getClassLoader(),
                new Class<?>[] {SignatureRunner.class},
                (proxy, method, given) -> {
                    if (method.getName().equals("run")) {
                        run.add((String) arguments[0]);
                    }
                    return called(own, method, given);
                });
    }

    private interface Found {
        Object of(Object found, Object[] arguments);
    }

    private static <T> T wrapped(Class<T> type, T own, Found change) {
        return type.cast(
                Proxy.newProxyInstance(
                        type.getClassLoader(),
                        new Class<?>[] {type},
                        (proxy, method, given) -> change.of(called(own, method, given), given)));
    }

    private static Object called(Object own, Method method, Object[] given) throws Throwable {
        try {
            method.setAccessible(true);
            return method.invoke(own, given);
        } catch (InvocationTargetException thrown) {
            throw thrown.getCause();
        }
    }

    private static void close(Object expected, float[] found) {
        double[] wide = new double[found.length];
        Arrays.setAll(wide, place -> found[place]);
        assertArrayEquals(Reference.doubles(expected), wide, 1e-5);
    }

    private static int[] negatives(Model model, int step) {
        return model.negatives == 0
                ? null
                : Windows.logUniform(model.negatives, model.items, 1, step);
    }

    private static int[] first(int[] rows, int count) {
        return Arrays.copyOf(Arrays.copyOf(rows, count), rows.length);
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "sampled", "reference"})
    void fewWindowsAreTrainedAndJudgedAsByTheWholeBatch(String name) throws Exception {
        Map<String, Object> numbers =
                Reference.map(Reference.map(Reference.read("numbers").get("models")).get(name));
        Map<String, Object> expected = Reference.map(numbers.get("few"));
        int small = (int) Reference.number(expected.get("small"));
        double[] losses = Reference.doubles(expected.get("losses"));
        Bundle bundle = Reference.bundle(name);
        try (Model model = bundle.loadModel(noted(), 1)) {
            int[] own = first(Reference.ints(numbers.get("items")), small * model.window);
            int[] wanted = first(Reference.ints(numbers.get("targets")), small * model.targets);
            int[] whole = own.clone();
            whole[whole.length - model.window] = 1; // an event that nothing follows
            Weights start = model.exportWeights();
            for (int[] given : new int[][] {own, whole}) {
                String suffix = given == own ? "_small" : "";
                model.importWeights(start);
                run.clear();
                Model.Evaluation evaluation = model.evaluate(given, wanted, negatives(model, 0));
                assertEquals(Collections.singletonList("evaluate" + suffix), run);
                close(expected.get("loss"), evaluation.loss);
                close(expected.get("rank"), evaluation.rank);
                run.clear();
                for (int step = 0; step < losses.length; step++) {
                    float loss = model.train(given, wanted, 0.05f, 0.1f, negatives(model, step));
                    assertEquals(losses[step], loss, 1e-4 * losses[step], "step " + step);
                }
                assertEquals(Collections.nCopies(losses.length, "train" + suffix), run);
                close(
                        expected.get("embedding"),
                        model.embed(Reference.ints(numbers.get("context"))));
            }
        }
    }

    @Test
    void rowsThatTheTableLacksAreRefusedInTheSmallBatchToo() throws Exception {
        try (Model model = Reference.bundle("plain").loadModel(noted(), 1)) {
            int[] items = new int[model.batch * model.window];
            int[] targets = new int[model.batch * model.targets];
            items[0] = model.items + 1;
            targets[0] = 1;
            DataException refused =
                    assertThrows(
                            DataException.class,
                            () -> model.train(items, targets, 0.1f, 0f, null));
            assertEquals(true, refused.getMessage().contains("train: items holds"));
            assertEquals(Collections.emptyList(), run);
        }
    }
}
