// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.content.Context;
import android.net.Uri;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;

import pocketrec.core.Bench;
import pocketrec.core.BenchRequest;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Json;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.Recommendation;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.Statistics;
import pocketrec.core.Training;
import pocketrec.core.TrainingOptions;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.function.Consumer;

/**
 * What the app does, on one worker thread; views only watch. Knows nothing about activities.
 *
 * <p>The history is made up: forty events that come back to a few candidates, the same at every
 * start. The harness measures time and memory and shows that training works; it says nothing about
 * quality.
 */
final class Harness {
    static final String TAG = "PocketRec";
    private static final int EVENTS = 40;
    private static final long REDRAW_MS = 50; // between two steps that views are told of

    /** What views show; read and written on the main thread. */
    static final class Shown {
        /** Whether work is going on. */
        boolean busy;

        /** Steps made, of {@link #total}. */
        int done;

        /** Steps to make; 0 = unknown. */
        int total;

        /** A line or more on what was done. */
        String text = "";

        /** Loss of each train step. */
        final List<Float> losses = new ArrayList<>();

        /** Milliseconds of each train step of the last benchmark. */
        double[] latencies = new double[0];
    }

    /** Work on the worker thread; gives the text to show. */
    private interface Work {
        String run(Cancellation cancellation) throws PocketRecException, IOException;
    }

    private final Context context;
    private final ModelRuntime runtime;
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Shown shown = new Shown();
    private final List<Cancellation> begun = new ArrayList<>(); // main thread; not ended yet
    private Runnable watcher = () -> {};
    private final InstalledBundle installed; // worker thread only

    /**
     * @param context the application's
     * @param runtime what runs the models
     */
    Harness(Context context, ModelRuntime runtime) {
        this.context = context;
        this.runtime = runtime;
        installed = new InstalledBundle(context, runtime);
    }

    /** What to show; main thread. */
    Shown shown() {
        return shown;
    }

    /** Who is told on the main thread when {@link #shown} changes. */
    void watch(Runnable watcher) {
        this.watcher = watcher;
    }

    /** Shows a text, where no work is going on. */
    void say(String text) {
        if (!shown.busy) {
            shown.text = text;
            watcher.run();
        }
    }

    /** Opens a bundle that the user picked; a .zip of one. */
    void open(Uri picked) {
        start(
                cancellation -> {
                    installed.replace(picked);
                    installed.opened();
                    String model = installed.bundle.manifest.modelId.substring(0, 12);
                    return context.getString(R.string.opened, model);
                });
    }

    /** Trains on the made-up history, as the bundle's recipe and guard say. */
    void train() {
        start(this::trained);
    }

    /** Ranks; shows the best by name. */
    void infer() {
        start(
                cancellation -> {
                    StringBuilder text = new StringBuilder();
                    for (Recommendation one : installed.opened().recommend(10)) {
                        text.append(text.length() == 0 ? "" : "\n");
                        text.append(String.format(Locale.ROOT, "%8.3f  %s", one.score, one.item));
                    }
                    return text.toString();
                });
    }

    /** Ranks of a few made-up later events in the full catalogue. */
    void evaluate() {
        start(
                cancellation -> {
                    Training.Judged judged =
                            installed
                                    .opened()
                                    .evaluate(
                                            installed.madeUp(EVENTS, EVENTS + 10), cancellation);
                    return context.getString(
                            R.string.evaluated,
                            judged.rank.length,
                            Statistics.recall(judged.rank, 20),
                            Statistics.mrr(judged.rank, 20));
                });
    }

    void save() {
        start(
                cancellation -> {
                    installed.opened().save();
                    return context.getString(
                            R.string.saved, installed.opened().state().generation);
                });
    }

    void load() {
        start(
                cancellation -> {
                    installed.opened().load();
                    return context.getString(
                            R.string.loaded, installed.opened().history().size());
                });
    }

    /** Measures the bundle that is open, {@code runs} calls of each kind, with one thread. */
    void benchmark(int runs) {
        start(
                cancellation -> {
                    installed.opened();
                    return shown(Bench.run(installed.bundle, runtime, 1, runs, 1, cancellation));
                });
    }

    /**
     * Measures the bundle of a request, and writes the answer to {@link #answers} and to the log.
     * Every failure leaves an answer too, for another program waits for one; where none can be
     * written the app crashes, which that program sees.
     *
     * @param runtime what runs the model
     * @param xnnpack whether it lets XNNPACK run what it can; for the result
     * @param then called on the main thread when the answer is there
     */
    void answer(BenchRequest request, ModelRuntime runtime, boolean xnnpack, Runnable then) {
        start(
                new Cancellation(),
                cancellation -> {
                    File folder = answers();
                    Map<String, Object> result =
                            request.measure(
                                    context.getCacheDir(),
                                    runtime,
                                    cancellation,
                                    () -> facts(xnnpack));
                    File file = request.succeed(folder, result);
                    Map<String, Object> brief = new LinkedHashMap<>(result);
                    brief.remove("raw_ms"); // a line of the log has 4,000 bytes
                    Log.i(TAG, "bench written to " + file + ": " + Json.write(brief));
                    return shown(result);
                },
                reason -> {
                    try {
                        request.fail(answers(), reason);
                    } catch (PocketRecException | IOException error) {
                        throw new IllegalStateException(
                                "no answer can be written: " + error.getMessage(), error);
                    }
                },
                then);
    }

    /** Ends the work that is going on, or waits, before its next step. */
    void cancel() {
        for (Cancellation one : begun) {
            one.cancel();
        }
    }

    /**
     * For the job service: trains and saves.
     *
     * @param cancellation through which the job is ended
     * @param then called on the main thread at the end
     */
    void trainAndSave(Cancellation cancellation, Runnable then) {
        start(
                cancellation,
                given -> {
                    String text = trained(given);
                    installed.opened().save();
                    return text;
                },
                reason -> {},
                then);
    }

    /** Where answers lie: the app's folder on shared storage, which adb can read. */
    private File answers() throws IOException {
        File folder = context.getExternalFilesDir(null);
        if (folder == null) {
            throw new IOException("the shared storage is not there now");
        }
        return folder;
    }

    private Map<String, Object> facts(boolean xnnpack) {
        Map<String, Object> facts = Device.facts(context);
        facts.put("xnnpack", xnnpack);
        return Collections.singletonMap("android", facts);
    }

    private String trained(Cancellation cancellation) throws PocketRecException, IOException {
        Recommender opened = installed.opened();
        main.post(shown.losses::clear);
        TrainingOptions options =
                TrainingOptions.DEFAULT
                        .withCancellation(cancellation)
                        .withProgress(
                                (done, total, loss) -> main.post(() -> step(done, total, loss)));
        Report report = opened.personalise(installed.madeUp(0, EVENTS), false, options);
        return report.choice + ": " + report.reason;
    }

    private void step(int done, int total, float loss) {
        shown.done = done;
        shown.total = total;
        shown.losses.add(loss);
        if (!main.hasCallbacks(redraw)) { // a step may take less than a frame
            main.postDelayed(redraw, REDRAW_MS);
        }
    }

    private final Runnable redraw = () -> watcher.run();

    /** Shows a result; gives its summary. */
    private String shown(Map<String, Object> result) {
        List<?> series = (List<?>) ((Map<?, ?>) result.get("raw_ms")).get("train");
        double[] latencies = new double[series.size()];
        for (int place = 0; place < latencies.length; place++) {
            latencies[place] = (Double) series.get(place);
        }
        main.post(() -> shown.latencies = latencies);
        StringBuilder text = new StringBuilder();
        for (String kind : new String[] {"train", "embed", "infer"}) {
            Object middle = result.get(kind + "_ms_p50");
            Object high = result.get(kind + "_ms_p99");
            text.append(context.getString(R.string.latency, kind, middle, high)).append('\n');
        }
        return text.append(context.getString(R.string.peak, result.get("peak_rss_mb"))).toString();
    }

    private void start(Work work) {
        start(new Cancellation(), work, reason -> {}, () -> {});
    }

    /**
     * Main thread: hands work to the worker, which tells {@code failed} why where it fails or is
     * cancelled, also before it begins; {@code then} is called here at its end.
     */
    private void start(
            Cancellation cancellation, Work work, Consumer<String> failed, Runnable then) {
        begun.add(cancellation);
        show(context.getString(R.string.working));
        worker.execute(
                () -> {
                    String text = outcome(work, failed, cancellation);
                    main.post(
                            () -> {
                                begun.remove(cancellation);
                                show(text);
                                then.run();
                            });
                });
    }

    /** Worker thread: what the work says, or why it failed. */
    private String outcome(
            Work work, Consumer<String> failed, Cancellation cancellation) {
        String reason;
        try {
            cancellation.check();
            return work.run(cancellation);
        } catch (CancelledException error) {
            failed.accept("cancelled on the device: start it again");
            return context.getString(R.string.cancelled);
        } catch (PocketRecException error) {
            reason = error.getMessage();
        } catch (IOException error) {
            String told = error.getMessage();
            reason = context.getString(R.string.unreadable, told);
        }
        Log.w(TAG, "error: " + reason);
        failed.accept(reason);
        return reason;
    }

    private void show(String text) {
        shown.busy = !begun.isEmpty();
        shown.text = text;
        shown.done = 0;
        shown.total = 0;
        watcher.run();
    }
}
