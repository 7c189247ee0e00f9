// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.app.Application;
import android.app.job.JobScheduler;
import android.content.Intent;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.net.Uri;
import android.os.Looper;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.TextView;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.android.controller.ActivityController;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

import pocketrec.core.Json;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.desktop.LiteRtRuntime;

import java.io.File;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.file.Files;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.function.BooleanSupplier;

/**
 * The app's screens with real work behind them: buttons are pressed, and each state is drawn into a
 * PNG that a person looks at.
 */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 35, application = LayoutTest.OnJvm.class)
public class LayoutTest {
    private static final String PORTRAIT = "w411dp-h891dp-port-notnight-xhdpi";

    /** The app, with LiteRT in TensorFlow Lite's place. */
    public static final class OnJvm extends HarnessApplication {
        /** As after a card was taken out. */
        boolean withoutStorage;

        @Override
        public File getExternalFilesDir(String type) {
            return withoutStorage ? null : super.getExternalFilesDir(type);
        }

        @Override
        ModelRuntime newRuntime(boolean xnnpack) {
            try {
                return LiteRtRuntime.find(new File(System.getProperty("pocketrec.litert")));
            } catch (PocketRecException error) {
                throw new IllegalStateException(error);
            }
        }
    }

    // Feature D22: training, answers, evaluation, saving and loading are off the main thread.
    @Test
    @Config(qualifiers = PORTRAIT)
    public void everyButtonDoesItsWork() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        assertEquals("Ready", text(activity));
        draw(activity, "1-start");
        press(activity, "Train");
        assertFalse(
                "no second work is started while one is running",
                button(activity, "Infer").isEnabled());
        assertTrue(button(activity, "Cancel").isEnabled());
        finished(activity);
        assertTrue(text(activity), text(activity).matches("(?s)(personal|blend|global): .*"));
        assertFalse(shown(activity).losses.isEmpty());
        draw(activity, "2-trained");
        press(activity, "Save");
        finished(activity);
        assertEquals("saved, generation 1", text(activity));
        press(activity, "Load");
        finished(activity);
        assertEquals("loaded, 40 events", text(activity));
        press(activity, "Evaluate");
        finished(activity);
        assertTrue(text(activity), text(activity).startsWith("10 events: Recall@20"));
        press(activity, "Infer");
        finished(activity);
        assertEquals(10, text(activity).split("\n").length);
        draw(activity, "3-recommendations");
        press(activity, "Benchmark");
        finished(activity);
        assertTrue(text(activity), text(activity).contains("train  p50"));
        assertEquals(100, shown(activity).latencies.length);
        draw(activity, "4-benchmark");
    }

    @Test
    @Config(qualifiers = PORTRAIT)
    public void rotationKeepsTheRun() throws Exception {
        ActivityController<HarnessActivity> controller =
                Robolectric.buildActivity(HarnessActivity.class).setup();
        press(controller.get(), "Benchmark");
        RuntimeEnvironment.setQualifiers("w891dp-h411dp-land-night-xhdpi");
        controller.recreate();
        Activity turned = controller.get();
        assertTrue("the run continues", shown(turned).busy);
        assertTrue(button(turned, "Cancel").isEnabled());
        finished(turned);
        press(turned, "Train");
        finished(turned);
        assertEquals(100, shown(turned).latencies.length);
        draw(turned, "5-landscape-dark");
    }

    @Test
    @Config(qualifiers = "w800dp-h1280dp-port-night-hdpi")
    public void tabletsAndLargeType() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        press(activity, "Infer");
        finished(activity);
        draw(activity, "6-tablet-dark");
        RuntimeEnvironment.setFontScale(1.6f);
        RuntimeEnvironment.setQualifiers("w360dp-h640dp-port-notnight-hdpi");
        activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        draw(activity, "7-small-large-type");
    }

    @Test
    @Config(qualifiers = PORTRAIT)
    public void cancelEndsTheWorkAndWhatWaits() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        press(activity, "Benchmark");
        button(activity, "Cancel").performClick();
        finished(activity);
        assertEquals("cancelled", text(activity));
    }

    @Test
    @Config(qualifiers = PORTRAIT)
    public void aBundleIsPicked() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        Application application = RuntimeEnvironment.getApplication();
        Uri good = Uri.parse("content://documents/good.zip");
        Uri bad = Uri.parse("content://documents/bad.zip");
        shadowOf(application.getContentResolver())
                .registerInputStream(
                        good, new FileInputStream(System.getProperty("pocketrec.bundle")));
        shadowOf(application.getContentResolver())
                .registerInputStream(bad, new java.io.ByteArrayInputStream(new byte[] {1, 2, 3}));
        picks(activity, good);
        assertTrue(text(activity), text(activity).startsWith("opened "));
        picks(activity, bad);
        assertTrue(text(activity), text(activity).endsWith("fetch or export the bundle again"));
        press(activity, "Infer"); // the good one is still there
        finished(activity);
        assertEquals(10, text(activity).split("\n").length);
    }

    @Test
    @Config(qualifiers = PORTRAIT)
    public void requestsAreAnswered() throws Exception {
        Intent intent =
                new Intent()
                        .putExtra("id", "one")
                        .putExtra("bundle", System.getProperty("pocketrec.bundle"))
                        .putExtra("runs", 5);
        Map<?, ?> result = (Map<?, ?>) Json.parse(Files.readAllBytes(answer(intent, "one.json")));
        assertEquals(5L, result.get("calls"));
        Map<?, ?> facts = (Map<?, ?>) result.get("android");
        assertEquals(35L, facts.get("api"));
        assertEquals(true, facts.get("xnnpack"));
        intent.putExtra("id", "two").putExtra("bundle", "/nowhere");
        String error = new String(Files.readAllBytes(answer(intent, "two.error")), "UTF-8");
        assertEquals("no file /nowhere can be read here: push the .zip of a bundle first", error);
        intent.putExtra("id", "cancelled");
        press(Robolectric.buildActivity(HarnessActivity.class).setup().get(), "Benchmark");
        Activity waiting = Robolectric.buildActivity(BenchmarkActivity.class, intent).setup().get();
        HarnessApplication.harness(waiting).cancel(); // before its turn comes
        finished(waiting);
        File left = new File(waiting.getExternalFilesDir(null), "bench-cancelled.error");
        assertEquals(
                "cancelled on the device: start it again",
                new String(Files.readAllBytes(left.toPath()), "UTF-8"));
        intent.putExtra("id", "../three");
        assertTrue(
                Robolectric.buildActivity(BenchmarkActivity.class, intent)
                        .setup()
                        .get()
                        .isFinishing());
    }

    /** The host waits for an answer or for the app's end. */
    @Test
    @Config(qualifiers = PORTRAIT)
    public void anAnswerThatCannotBeWrittenEndsTheApp() throws Exception {
        BlockingQueue<Throwable> uncaught = new LinkedBlockingQueue<>();
        Thread.UncaughtExceptionHandler before = Thread.getDefaultUncaughtExceptionHandler();
        Thread.setDefaultUncaughtExceptionHandler((thread, error) -> uncaught.add(error));
        try {
            ((OnJvm) RuntimeEnvironment.getApplication()).withoutStorage = true;
            Intent intent =
                    new Intent()
                            .putExtra("id", "one")
                            .putExtra("bundle", System.getProperty("pocketrec.bundle"));
            Robolectric.buildActivity(BenchmarkActivity.class, intent).setup();
            Throwable error = uncaught.poll(60, TimeUnit.SECONDS);
            assertNotNull("the app continues without an answer", error);
            assertEquals(
                    "no answer can be written: the shared storage is not there now",
                    error.getMessage());
        } finally {
            Thread.setDefaultUncaughtExceptionHandler(before);
        }
    }

    @Test
    @Config(qualifiers = PORTRAIT)
    public void nightlyTrainingIsAskedForAndSaves() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        press(activity, "Train at night");
        assertTrue(text(activity), text(activity).startsWith("Trains once a day"));
        JobScheduler jobs = activity.getSystemService(JobScheduler.class);
        assertTrue(jobs.getPendingJob(1).isRequireDeviceIdle());
        assertTrue(jobs.getPendingJob(1).isRequireCharging());
        NightlyTraining service = Robolectric.setupService(NightlyTraining.class);
        assertTrue(service.onStartJob(null));
        until(() -> shadowOf(service).getIsJobFinished());
        assertFalse(shadowOf(service).getIsRescheduleNeeded());
        File[] states = activity.getFilesDir().listFiles((dir, name) -> name.endsWith(".state"));
        assertNotNull(states);
        assertEquals(1, states.length);
        press(activity, "Train at night");
        assertEquals(0, jobs.getAllPendingJobs().size());
    }

    private static java.nio.file.Path answer(Intent intent, String name) throws Exception {
        Activity activity =
                Robolectric.buildActivity(BenchmarkActivity.class, intent).setup().get();
        finished(activity);
        assertTrue(activity.isFinishing());
        return new File(activity.getExternalFilesDir(null), "bench-" + name).toPath();
    }

    private static void picks(Activity activity, Uri picked) throws Exception {
        press(activity, "Open bundle");
        Intent asked = shadowOf(activity).getNextStartedActivityForResult().intent;
        assertEquals(Intent.ACTION_OPEN_DOCUMENT, asked.getAction());
        shadowOf(activity).receiveResult(asked, Activity.RESULT_OK, new Intent().setData(picked));
        finished(activity);
    }

    private static void press(Activity activity, String label) {
        Button button = button(activity, label);
        assertTrue(label + " can be pressed", button.isEnabled());
        button.performClick();
    }

    /** Lets the main thread work until nothing is running; a minute at most. */
    private static void finished(Activity activity) throws Exception {
        until(() -> !shown(activity).busy);
    }

    /** Lets the main thread work until something holds. */
    static void until(BooleanSupplier holds) throws InterruptedException {
        for (int wait = 0; wait < 6000; wait++) {
            shadowOf(Looper.getMainLooper()).idle();
            if (holds.getAsBoolean()) {
                return;
            }
            Thread.sleep(10);
        }
        throw new AssertionError("it does not end");
    }

    private static Harness.Shown shown(Activity activity) {
        return HarnessApplication.harness(activity).shown();
    }

    private static String text(Activity activity) {
        return textView(activity).getText().toString();
    }

    /** Where results are shown. */
    static TextView textView(Activity activity) {
        for (TextView view : views(activity.getWindow().getDecorView())) {
            if (view.isTextSelectable()) {
                return view;
            }
        }
        throw new AssertionError("there is no text");
    }

    private static Button button(Activity activity, String label) {
        for (TextView view : views(activity.getWindow().getDecorView())) {
            if (view instanceof Button && view.getText().toString().equals(label)) {
                return (Button) view;
            }
        }
        throw new AssertionError("there is no button " + label);
    }

    private static List<TextView> views(View view) {
        List<TextView> found = new ArrayList<>();
        if (view instanceof TextView) {
            found.add((TextView) view);
        } else if (view instanceof ViewGroup) {
            for (int place = 0; place < ((ViewGroup) view).getChildCount(); place++) {
                found.addAll(views(((ViewGroup) view).getChildAt(place)));
            }
        }
        return found;
    }

    private static void draw(Activity activity, String name) throws Exception {
        shadowOf(Looper.getMainLooper()).idle();
        View view = activity.getWindow().getDecorView();
        Bitmap bitmap =
                Bitmap.createBitmap(view.getWidth(), view.getHeight(), Bitmap.Config.ARGB_8888);
        view.draw(new Canvas(bitmap));
        File file = new File(System.getProperty("pocketrec.screens"), name + ".png");
        try (FileOutputStream out = new FileOutputStream(file)) {
            assertTrue(bitmap.compress(Bitmap.CompressFormat.PNG, 100, out));
        }
    }
}
