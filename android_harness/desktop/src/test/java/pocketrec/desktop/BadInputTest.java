// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import static pocketrec.desktop.Refusals.refused;

import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

import pocketrec.core.Bundle;
import pocketrec.core.BundleException;
import pocketrec.core.DataException;
import pocketrec.core.Event;
import pocketrec.core.Model;
import pocketrec.core.Recommender;
import pocketrec.core.RuntimeMissingException;
import pocketrec.core.ShapeException;
import pocketrec.core.StorageException;

import java.io.File;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/**
 * Whatever is wrong ends in a typed exception of one line that says what to do, and nothing is
 * lost.
 */
class BadInputTest {
    @TempDir Path folder;

    private File bundle;

    @BeforeEach
    void copy() throws Exception {
        bundle = Reference.copy("plain", folder.resolve("bundle"));
    }

    private void change(String file, String from, String to) throws Exception {
        Path path = bundle.toPath().resolve(file);
        String text = new String(Files.readAllBytes(path), StandardCharsets.ISO_8859_1);
        assertTrue(text.contains(from), file + " has no " + from);
        Files.write(path, text.replace(from, to).getBytes(StandardCharsets.ISO_8859_1));
    }

    @Test
    void noBundle() {
        refused(
                BundleException.class,
                "no bundle at",
                () -> Bundle.open(folder.resolve("none").toFile()));
    }

    @Test
    void truncatedAlteredOrMissingFiles() throws Exception {
        try (RandomAccessFile file = new RandomAccessFile(new File(bundle, "model.tflite"), "rw")) {
            file.setLength(file.length() / 2);
        }
        refused(BundleException.class, "model.tflite is cut short", () -> Bundle.open(bundle));
        Reference.copy("plain", bundle.toPath());
        Bundle.open(bundle);
        Thread.sleep(5);
        change("items.txt", "item 7", "item X");
        refused(BundleException.class, "items.txt is altered", () -> Bundle.open(bundle));
        Reference.copy("plain", bundle.toPath());
        Files.delete(bundle.toPath().resolve("recipe.json"));
        refused(BundleException.class, "recipe.json is missing", () -> Bundle.open(bundle));
    }

    @Test
    void wrongManifest() throws Exception {
        change("manifest.json", "\"format_version\": 1", "\"format_version\": 2");
        refused(BundleException.class, "bundle format 2", () -> Bundle.open(bundle));
        Reference.copy("plain", bundle.toPath());
        change("manifest.json", "\"items.txt\"", "\"../items.txt\"");
        refused(BundleException.class, "not a name inside a bundle", () -> Bundle.open(bundle));
        Reference.copy("plain", bundle.toPath());
        change("manifest.json", "}\n", "\n");
        refused(BundleException.class, "manifest.json is cut short", () -> Bundle.open(bundle));
        Reference.copy("plain", bundle.toPath());
        change("manifest.json", "\"mask_seen\"", "\"ranker\": \"other\", \"mask_seen\"");
        refused(BundleException.class, "'other' is not inner_product", () -> Bundle.open(bundle));
    }

    @Test
    void aModelThatIsNotWhatTheManifestSays() throws Exception {
        change("manifest.json", "\"window\": 6", "\"window\": 7");
        Bundle other = Bundle.open(bundle);
        refused(
                BundleException.class,
                "the model's window is 6 and the manifest says 7",
                () -> other.loadModel(Reference.runtime(), 1));
    }

    @Test
    void missingSignatureAndNoModelAtAll() throws Exception {
        change("model.tflite", "evaluate", "evaluatX");
        File model = new File(bundle, "model.tflite");
        refused(
                BundleException.class,
                "no signature 'evaluate'",
                () -> new Model(model, Reference.runtime(), 1, 60));
        Files.write(model.toPath(), new byte[1000]);
        refused(
                BundleException.class,
                "LiteRT cannot read the file",
                () -> new Model(model, Reference.runtime(), 1, 60));
        Files.delete(model.toPath());
        refused(
                BundleException.class,
                "no model file",
                () -> new Model(model, Reference.runtime(), 1, 60));
    }

    @Test
    void rowsThatTheTableLacks() throws Exception {
        try (Model model = Bundle.open(bundle).loadModel(Reference.runtime(), 1)) {
            int[] window = new int[model.window];
            int[] batch = new int[model.window * model.batch];
            int[] candidates = new int[model.candidates];
            Arrays.fill(candidates, model.items); // the last row is one
            model.infer(window, candidates);
            for (int wrong : new int[] {-1, model.items + 1, Integer.MAX_VALUE}) {
                String told = " holds " + wrong + ", and items are numbered 1 to " + model.items;
                int[] badWindow = window.clone();
                int[] badBatch = batch.clone();
                int[] badCandidates = candidates.clone();
                badWindow[window.length - 1] = wrong;
                badBatch[batch.length - 1] = wrong;
                badCandidates[candidates.length - 1] = wrong;
                refused(DataException.class, "embed: items" + told, () -> model.embed(badWindow));
                refused(
                        DataException.class,
                        "infer: candidates" + told,
                        () -> model.infer(window, badCandidates));
                refused(
                        DataException.class,
                        "lookup: candidates" + told,
                        () -> model.lookup(badCandidates));
                refused(
                        DataException.class,
                        "train: targets" + told,
                        () -> model.train(batch, badBatch, 0.1f, 0f, null));
                refused(
                        DataException.class,
                        "evaluate: items" + told,
                        () -> model.evaluate(badBatch, batch, null));
            }
        }
    }

    @Test
    void wrongSizes() throws Exception {
        try (Model model = Bundle.open(bundle).loadModel(Reference.runtime(), 1)) {
            int[] window = new int[model.window];
            int[] batch = new int[model.window * model.batch];
            refused(
                    ShapeException.class,
                    "items must be int32 [1, 6]",
                    () -> model.embed(new int[7]));
            refused(ShapeException.class, "candidates", () -> model.infer(window, new int[3]));
            refused(
                    ShapeException.class,
                    "targets",
                    () -> model.train(batch, window, 0.1f, 0f, null));
            refused(
                    ShapeException.class,
                    "negatives",
                    () -> model.train(batch, batch, 0.1f, 0f, new int[4]));
            assertEquals(model.embedding, model.embed(window).length, "it still runs");
            model.close();
            assertThrows(IllegalStateException.class, () -> model.embed(window));
        }
    }

    @Test
    void damagedArchivesLeaveTheBundleThatIsThere() throws Exception {
        File archive = folder.resolve("new.zip").toFile();
        byte[] good = Files.readAllBytes(new File(Reference.folder(), "raised.zip").toPath());
        String before = Bundle.open(bundle).recipe.targets;
        for (int length : new int[] {0, 100, good.length / 2, good.length - 1}) {
            Files.write(archive.toPath(), Arrays.copyOf(good, length));
            refused(
                    BundleException.class,
                    "new.zip is cut short or altered",
                    () -> Bundle.unpack(archive, bundle));
        }
        for (int place = 60; place < good.length; place += 997) {
            byte[] altered = good.clone();
            altered[place] ^= 4;
            Files.write(archive.toPath(), altered);
            try {
                Bundle.unpack(archive, folder.resolve("elsewhere").toFile());
            } catch (BundleException error) {
                assertFalse(error.getMessage().contains("\n"), error.getMessage());
            }
            assertTrue(
                    !folder.resolve("elsewhere").toFile().exists()
                            || Bundle.open(folder.resolve("elsewhere").toFile())
                                    .recipe
                                    .targets
                                    .equals("all"));
        }
        assertEquals(before, Bundle.open(bundle).recipe.targets, "the old bundle is still there");
        Files.write(archive.toPath(), good);
        Bundle.unpack(archive, bundle);
        assertEquals("all", Bundle.open(bundle).recipe.targets);
        File inTheWay = new File(archive, "bundle");
        refused(StorageException.class, "cannot write", () -> Bundle.unpack(archive, inTheWay));
        for (String name : folder.toFile().list()) {
            assertFalse(name.startsWith("."), name + " stays");
        }
    }

    @Test
    void packedBundlesThatDoNotFit() throws Exception {
        File packed = Reference.copy("packed", folder.resolve("packed"));
        Path weights = packed.toPath().resolve("model.weights");
        byte[] good = Files.readAllBytes(weights);
        Files.write(weights, Arrays.copyOf(good, good.length - 20));
        refused(BundleException.class, "model.weights is cut short", () -> Bundle.open(packed));
        bundle = packed;
        Files.write(weights, good);
        change("manifest.json", "\"model_id\": \"", "\"model_id\": \"f");
        refused(BundleException.class, "make another model", () -> Bundle.open(packed));
        assertFalse(new File(packed, "model.tflite").exists());
    }

    @Test
    void aLeanBundleWhoseShardIsDamaged() throws Exception {
        File lean = Reference.copy("lean", folder.resolve("lean"));
        Bundle opened = Bundle.open(lean);
        for (File shard : new File(lean, "candidates").listFiles()) {
            Files.write(shard.toPath(), Arrays.copyOf(Files.readAllBytes(shard.toPath()), 200));
        }
        refused(
                BundleException.class,
                "cannot be read",
                () -> new Recommender(opened, Reference.runtime(), "u0", null, 1));
        bundle = lean;
        change("manifest.json", "\"head\": ", "\"head\": 1");
        refused(BundleException.class, "counts of the lean table", () -> Bundle.open(lean));
    }

    @Test
    void noRuntimeAndWrongNumbers() throws Exception {
        refused(
                RuntimeMissingException.class,
                "no libLiteRt.so at",
                () -> LiteRtRuntime.find(folder.toFile()));
        Bundle opened = Bundle.open(bundle);
        refused(
                DataException.class,
                "threads must lie between",
                () -> opened.loadModel(Reference.runtime(), 0));
        Recommender recommender = new Recommender(opened, Reference.runtime(), "u1", null, 1);
        refused(DataException.class, "k must be at least 1", () -> recommender.recommend(0));
        assertThrows(IllegalArgumentException.class, () -> new Event("item", Double.NaN));
    }
}
