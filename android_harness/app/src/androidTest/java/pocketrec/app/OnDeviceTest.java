// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import static org.junit.Assert.assertArrayEquals;
import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;

import android.content.Context;

import androidx.test.platform.app.InstrumentationRegistry;

import org.junit.After;
import org.junit.Before;
import org.junit.Test;

import pocketrec.core.Bench;
import pocketrec.core.BenchRequest;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.Event;
import pocketrec.core.Json;
import pocketrec.core.ModelRuntime;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.TrainingOptions;

import java.io.File;
import java.io.FileOutputStream;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/**
 * The runtime that is in the app, on a device: {@code gradle :app:connectedReleaseAndroidTest}. The
 * same tests run on a JVM, with LiteRT's own library, by {@code make screens}.
 */
public class OnDeviceTest {
    private final Context context = InstrumentationRegistry.getInstrumentation().getTargetContext();
    private final File folder = new File(context.getCacheDir(), "on-device");
    private File archive;
    private Bundle bundle;

    /** Unpacks the bundle that is in the app. */
    @Before
    public void unpack() throws Exception {
        assertTrue(folder.mkdirs());
        archive = new File(folder, "bundle.zip");
        byte[] chunk = new byte[1 << 16];
        try (InputStream in = context.getAssets().open("bundle.zip");
                OutputStream out = new FileOutputStream(archive)) {
            for (int length = in.read(chunk); length >= 0; length = in.read(chunk)) {
                out.write(chunk, 0, length);
            }
        }
        File unpacked = new File(folder, "bundle");
        Bundle.unpack(archive, unpacked);
        bundle = Bundle.open(unpacked);
    }

    /** Leaves nothing. */
    @After
    public void clean() {
        delete(folder);
    }

    /** The loss falls, and the embedding is another one afterwards. */
    @Test
    public void trainingLearns() throws Exception {
        try (Recommender recommender = recommender(null, true)) {
            recommender.add(events());
            float[] before = recommender.embed();
            Report report = recommender.personalise(new ArrayList<>());
            assertFalse(report.losses.isEmpty());
            assertTrue(report.losses.get(report.losses.size() - 1) < report.losses.get(0));
            assertFalse(java.util.Arrays.equals(before, recommender.embed()));
        }
    }

    /** What is saved, loaded and continued equals what ran without a break. */
    // Feature D21, on Android.
    @Test
    public void aSavedStateIsContinuedExactly() throws Exception {
        List<Event> events = events();
        File state = new File(folder, "state");
        float[] whole;
        try (Recommender recommender = recommender(null, true)) {
            recommender.personalise(events.subList(0, 20));
            recommender.personalise(events.subList(20, 40), true, TrainingOptions.DEFAULT);
            whole = recommender.embed();
        }
        try (Recommender recommender = recommender(state, true)) {
            recommender.personalise(events.subList(0, 20));
            recommender.save();
        }
        try (Recommender recommender = recommender(state, true)) {
            recommender.personalise(events.subList(20, 40), true, TrainingOptions.DEFAULT);
            assertArrayEquals(whole, recommender.embed(), 0f);
        }
    }

    /** XNNPACK and the built-in kernels give the same ranking, up to rounding. */
    @Test
    public void kernelsAgree() throws Exception {
        float[][] embeddings = new float[2][];
        for (int kind = 0; kind < 2; kind++) {
            try (Recommender recommender = recommender(null, kind == 0)) {
                recommender.personalise(events());
                embeddings[kind] = recommender.embed();
            }
        }
        assertArrayEquals(embeddings[0], embeddings[1], 1e-3f);
    }

    /** A request is answered with a result in a file. */
    // Feature D23.
    @Test
    public void requestsAreMeasured() throws Exception {
        BenchRequest request = new BenchRequest("test", archive, 3, 1);
        ModelRuntime runtime = HarnessApplication.runtime(context, true);
        Map<String, Object> result =
                request.measure(folder, runtime, new Cancellation(), Collections::emptyMap);
        File written = request.succeed(folder, result);
        Map<?, ?> read = (Map<?, ?>) Json.parse(Files.readAllBytes(written.toPath()));
        assertEquals(bundle.manifest.modelId, read.get("model_id"));
        assertEquals(runtime.name(), read.get("runtime"));
        assertEquals(3, ((List<?>) ((Map<?, ?>) read.get("raw_ms")).get("train")).size());
        int threads = Math.min(2, Runtime.getRuntime().availableProcessors());
        assertEquals(
                3L, Bench.run(bundle, runtime, threads, 3, 1, new Cancellation()).get("calls"));
    }

    private Recommender recommender(File state, boolean xnnpack) throws Exception {
        ModelRuntime runtime = HarnessApplication.runtime(context, xnnpack);
        return new Recommender(bundle, runtime, "u1", state, 1);
    }

    private List<Event> events() throws Exception {
        List<Event> events = new ArrayList<>();
        double start = bundle.manifest.cutOff == null ? 0 : bundle.manifest.cutOff;
        for (int place = 0; place < 40; place++) {
            events.add(new Event(bundle.vocabulary.id(1 + place * 3 % 8), start + place));
        }
        return events;
    }

    private static void delete(File file) {
        File[] inside = file.listFiles();
        for (File one : inside == null ? new File[0] : inside) {
            delete(one);
        }
        file.delete();
    }
}
