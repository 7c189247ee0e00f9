// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

import pocketrec.core.Bundle;
import pocketrec.core.Model;
import pocketrec.core.TensorSpec;
import pocketrec.core.Weights;
import pocketrec.core.Windows;

import java.io.File;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/** The same numbers as the Python runner, on the same model files. */
class ModelTest {
    @TempDir Path folder;

    private static final double CLOSE = 1e-5;

    private static void close(Object expected, float[] found) {
        double[] wide = new double[found.length];
        Arrays.setAll(wide, place -> found[place]);
        assertArrayEquals(Reference.doubles(expected), wide, CLOSE);
    }

    @ParameterizedTest
    @ValueSource(strings = {"plain", "sampled", "cloze", "reference"})
    void embeddingScoresAndLossesEqualPythons(String name) throws Exception {
        Map<String, Object> numbers =
                Reference.map(Reference.map(Reference.read("numbers").get("models")).get(name));
        int[] items = Reference.ints(numbers.get("items"));
        int[] targets = Reference.ints(numbers.get("targets"));
        int[] context = Reference.ints(numbers.get("context"));
        int[] candidates = Reference.ints(numbers.get("candidates"));
        double[] losses = Reference.doubles(numbers.get("losses"));
        assertEquals(20, losses.length);
        try (Model model = Reference.bundle(name).loadModel(Reference.runtime(), 1)) {
            assertEquals(name.equals("sampled"), model.negatives > 0);
            assertEquals(name.equals("cloze") ? 1 : model.window, model.targets);
            close(Reference.map(numbers.get("before")).get("embedding"), model.embed(context));
            close(
                    Reference.map(numbers.get("before")).get("scores"),
                    model.infer(context, candidates));
            Model.Evaluation evaluation = model.evaluate(items, targets, negatives(model, 0));
            close(numbers.get("loss"), evaluation.loss);
            close(numbers.get("rank"), evaluation.rank);
            for (int step = 0; step < losses.length; step++) {
                float loss = model.train(items, targets, 0.05f, 0.1f, negatives(model, step));
                assertEquals(losses[step], loss, 1e-4 * losses[step], "train step " + step);
            }
            close(Reference.map(numbers.get("after")).get("embedding"), model.embed(context));
            close(
                    Reference.map(numbers.get("after")).get("scores"),
                    model.infer(context, candidates));
        }
    }

    private static int[] negatives(Model model, int step) {
        return model.negatives == 0
                ? null
                : Windows.logUniform(model.negatives, model.items, 1, step);
    }

    @Test
    void aPackedBundleGivesTheExportersFile() throws Exception {
        File packed = Reference.copy("packed", folder.resolve("packed"));
        File model = new File(packed, "model.tflite");
        for (int round = 0; round < 2; round++) {
            Bundle bundle =
                    Bundle.open(packed); // makes the file, and compares it with the model id
            assertEquals(bundle.manifest.packedBytes, model.length());
            try (Model opened = bundle.loadModel(Reference.runtime(), 1)) {
                assertEquals(bundle.manifest.items, opened.items);
            }
            java.nio.file.Files.write(
                    model.toPath(), new byte[(int) model.length()]); // damaged: is made again
            assertTrue(model.setLastModified(1_000_000_000_000L + round));
        }
    }

    /** Sparse and dense integers, scales by row and by column, float16 and float32. */
    @Test
    void weightsOfEveryCodingAreUnpacked() throws Exception {
        File coded = Reference.copy("coded", folder.resolve("coded"));
        Bundle bundle = Bundle.open(coded); // refused if one byte differs from what Python packed
        assertEquals(bundle.manifest.packedBytes, bundle.modelFile().length());
    }

    @Test
    void drawsEqualPythons() throws Exception {
        for (Object one : (List<?>) Reference.read("numbers").get("draws")) {
            Map<String, Object> draw = Reference.map(one);
            assertArrayEquals(
                    Reference.ints(draw.get("rows")),
                    Windows.logUniform(
                            (int) Reference.number(draw.get("count")),
                                    (int) Reference.number(draw.get("items")),
                            (int) Reference.number(draw.get("seed")),
                                    (int) Reference.number(draw.get("step"))));
        }
    }

    @Test
    void trainingChangesTheTrainableTensorsAndNothingElse() throws Exception {
        Bundle bundle = Reference.bundle("plain");
        try (Model model = bundle.loadModel(Reference.runtime(), 1)) {
            byte[] file = java.nio.file.Files.readAllBytes(bundle.modelFile().toPath());
            int[] rows = new int[model.candidates];
            Arrays.setAll(rows, place -> place + 1);
            int[] items = new int[model.batch * model.window];
            Arrays.setAll(items, place -> 1 + place % 5);
            float[] table = model.lookup(rows);
            Weights before = model.exportWeights();
            for (int step = 0; step < 3; step++) {
                model.train(items, items, 0.1f, 0f, null);
            }
            Weights after = model.exportWeights();
            for (TensorSpec spec : bundle.manifest.trainable) {
                assertFalse(Arrays.equals(before.get(spec.name), after.get(spec.name)), spec.name);
            }
            for (TensorSpec spec : bundle.manifest.frozen) {
                assertFalse(model.variables.containsKey(spec.name), spec.name + " is not a variable");
            }
            assertArrayEquals(table, model.lookup(rows), "item embeddings");
            assertArrayEquals(
                    file,
                    java.nio.file.Files.readAllBytes(bundle.modelFile().toPath()),
                    "the model file");
            model.importWeights(before);
            assertArrayEquals(before.get("fc_kernel"), model.exportWeights().get("fc_kernel"));
        }
    }

    @Test
    void callsFromManyThreadsWaitForEachOther() throws Exception {
        try (Model model = Reference.bundle("plain").loadModel(Reference.runtime(), 1)) {
            int[] first = Windows.context(new int[] {1, 2, 3}, model.window);
            int[] second = Windows.context(new int[] {9, 8, 7, 6}, model.window);
            float[][] expected = {model.embed(first), model.embed(second)};
            Thread[] threads = new Thread[4];
            int[] wrong = new int[threads.length];
            for (int number = 0; number < threads.length; number++) {
                int place = number;
                threads[number] =
                        new Thread(
                                () -> {
                                    for (int call = 0; call < 500; call++) {
                                        try {
                                            float[] found =
                                                    model.embed(place % 2 == 0 ? first : second);
                                            wrong[place] +=
                                                    Arrays.equals(expected[place % 2], found)
                                                            ? 0
                                                            : 1;
                                        } catch (Exception error) {
                                            wrong[place]++;
                                        }
                                    }
                                });
                threads[number].start();
            }
            for (Thread thread : threads) {
                thread.join();
            }
            assertArrayEquals(new int[threads.length], wrong);
        }
    }
}
