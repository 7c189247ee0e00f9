package pocketrec.app;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;

import pocketrec.core.Bench;
import pocketrec.core.Bundle;
import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.Event;
import pocketrec.core.Json;
import pocketrec.core.PocketRecException;
import pocketrec.core.Recommendation;
import pocketrec.core.Recommender;
import pocketrec.core.Report;
import pocketrec.core.Statistics;
import pocketrec.core.Training;
import pocketrec.core.TrainingOptions;

import java.io.File;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;

/**
 * What the app does, on one worker thread; views only watch. Knows nothing about activities.
 *
 * <p>The history is made up: forty events that come back to a few candidates, the same at every
 * start. The harness measures time and memory and shows that training works; it says nothing about
 * quality.
 */
final class Harness {
    static final String TAG = "PocketRec";
    private static final String USER = "harness";
    private static final int EVENTS = 40;

    /** What views show; read on the main thread. */
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
        String run() throws PocketRecException, IOException;
    }

    private final Context context;
    private final TfLiteRuntime runtime = new TfLiteRuntime();
    private final ExecutorService worker = Executors.newSingleThreadExecutor();
    private final Handler main = new Handler(Looper.getMainLooper());
    private final Shown shown = new Shown();
    private Runnable watcher = () -> {};
    private volatile Cancellation cancellation = new Cancellation();
    private Recommender recommender; // worker thread only
    private Bundle bundle; // worker thread only

    Harness(Context context) {
        this.context = context;
    }

    /** Main thread: what to show, and who is told when it changes. */
    Shown watch(Runnable watcher) {
        this.watcher = watcher;
        return shown;
    }

    /** Opens a bundle that the user picked; a .zip of one. */
    void open(InputStream archive) {
        start(
                () -> {
                    File file = new File(context.getCacheDir(), "picked.zip");
                    copy(archive, file);
                    try {
                        close();
                        Bundle.unpack(file, folder());
                    } finally {
                        file.delete();
                    }
                    opened();
                    return "opened " + bundle.manifest.modelId.substring(0, 12);
                });
    }

    /** Trains on the made-up history, as the bundle's recipe and guard say. */
    void train() {
        start(this::trained);
    }

    /** Ranks; shows the best by name. */
    void infer() {
        start(
                () -> {
                    StringBuilder text = new StringBuilder();
                    for (Recommendation one : opened().recommend(10)) {
                        text.append(String.format(Locale.ROOT, "%8.3f  %s\n", one.score, one.item));
                    }
                    return text.toString();
                });
    }

    /** Ranks of a few made-up later events in the full catalogue. */
    void evaluate() {
        start(
                () -> {
                    Training.Judged judged = opened().evaluate(madeUp(EVENTS, EVENTS + 10));
                    return String.format(
                            Locale.ROOT,
                            "%d events: Recall@20 %.3f, MRR@20 %.3f (full ranking, made-up events)",
                            judged.rank.length,
                            Statistics.recall(judged.rank, 20),
                            Statistics.mrr(judged.rank, 20));
                });
    }

    void save() {
        start(
                () -> {
                    opened().save();
                    return "saved, generation " + opened().state().generation;
                });
    }

    void load() {
        start(
                () -> {
                    opened().load();
                    return "loaded, " + opened().history().size() + " events";
                });
    }

    /**
     * Measures, and writes the result beside the app's files and to the log.
     *
     * @param runs calls of each kind
     * @param threads threads of the kernels
     * @param then called on the main thread when all is written
     */
    void benchmark(int runs, int threads, Runnable then) {
        start(
                () -> {
                    opened();
                    Map<String, Object> result =
                            Bench.run(bundle, runtime, threads, runs, 1, cancellation);
                    result.put("android", Device.facts(context));
                    File file = new File(context.getExternalFilesDir(null), "bench.json");
                    String json = Json.write(result);
                    try (FileOutputStream out = new FileOutputStream(file)) {
                        out.write(json.getBytes("UTF-8"));
                    }
                    Log.i(TAG, "bench written to " + file);
                    publishLatencies((Map<?, ?>) result.get("raw_ms"));
                    return summary(result);
                },
                then);
    }

    /** Ends the work before its next step. */
    void cancel() {
        cancellation.cancel();
    }

    /** For the job service: trains and saves; {@code then} is called on the main thread. */
    void trainAndSave(Runnable then) {
        start(
                () -> {
                    String text = trained();
                    opened().save();
                    return text;
                },
                then);
    }

    private String trained() throws PocketRecException, IOException {
        Recommender opened = opened();
        main.post(shown.losses::clear);
        TrainingOptions options =
                TrainingOptions.DEFAULT.withCancellation(cancellation).withProgress(this::step);
        Report report = opened.personalise(madeUp(0, EVENTS), false, options);
        return report.choice + ": " + report.reason;
    }

    private void step(int done, int total, float loss) {
        main.post(
                () -> {
                    shown.done = done;
                    shown.total = total;
                    shown.losses.add(loss);
                    watcher.run();
                });
    }

    private void publishLatencies(Map<?, ?> raw) {
        List<?> series = (List<?>) raw.get("train");
        double[] latencies = new double[series.size()];
        for (int place = 0; place < latencies.length; place++) {
            latencies[place] = (Double) series.get(place);
        }
        main.post(() -> shown.latencies = latencies);
    }

    private static String summary(Map<String, Object> result) {
        StringBuilder text = new StringBuilder();
        for (String kind : new String[] {"train", "embed", "infer"}) {
            text.append(kind).append("  p50 ").append(result.get(kind + "_ms_p50"));
            text.append(" ms  p99 ").append(result.get(kind + "_ms_p99")).append(" ms\n");
        }
        return text.append("peak RSS ").append(result.get("peak_rss_mb")).append(" MB").toString();
    }

    private void start(Work work) {
        start(work, () -> {});
    }

    private void start(Work work, Runnable then) {
        cancellation = new Cancellation();
        show(true, context.getString(R.string.working));
        worker.execute(
                () -> {
                    String text;
                    try {
                        text = work.run();
                    } catch (CancelledException error) {
                        text = "cancelled";
                    } catch (PocketRecException error) {
                        text = error.getMessage();
                        Log.w(TAG, "error: " + text);
                    } catch (IOException error) {
                        text =
                                "cannot read or write ("
                                        + error.getMessage()
                                        + "): free some space, or try again";
                        Log.w(TAG, "error: " + text);
                    }
                    String said = text;
                    main.post(
                            () -> {
                                show(false, said);
                                then.run();
                            });
                });
    }

    private void show(boolean busy, String text) {
        shown.busy = busy;
        shown.text = text;
        shown.done = 0;
        shown.total = 0;
        watcher.run();
    }

    /**
     * Worker thread: the recommender of the bundle that was picked last, or of the one inside the
     * app.
     */
    private Recommender opened() throws PocketRecException, IOException {
        if (recommender == null) {
            if (!folder().exists()) {
                File archive = new File(context.getCacheDir(), "inside.zip");
                copy(context.getAssets().open("bundle.zip"), archive);
                Bundle.unpack(archive, folder());
                archive.delete();
            }
            bundle = Bundle.open(folder());
            File state =
                    new File(
                            context.getFilesDir(),
                            bundle.manifest.modelId.substring(0, 16) + ".state");
            recommender = new Recommender(bundle, runtime, USER, state, 1);
        }
        return recommender;
    }

    private void close() {
        if (recommender != null) {
            recommender.close();
            recommender = null;
        }
    }

    private File folder() {
        return new File(context.getFilesDir(), "bundle");
    }

    /**
     * Events {@code from} to {@code to} of the made-up history; they come back to eight of the
     * popular items.
     */
    private List<Event> madeUp(int from, int to) throws PocketRecException {
        int[] popular = bundle.popular();
        Random random = new Random(1);
        double start = bundle.manifest.cutOff == null ? 0 : bundle.manifest.cutOff;
        List<Event> events = new ArrayList<>();
        for (int place = 0; place < to; place++) {
            int row = popular[random.nextInt(Math.min(8, popular.length))];
            events.add(new Event(bundle.vocabulary.id(row), start + 60.0 * place));
        }
        return Collections.unmodifiableList(events.subList(from, to));
    }

    private static void copy(InputStream from, File to) throws IOException {
        byte[] chunk = new byte[1 << 16];
        try (InputStream in = from;
                FileOutputStream out = new FileOutputStream(to)) {
            int length;
            while ((length = in.read(chunk)) >= 0) {
                out.write(chunk, 0, length);
            }
        }
    }
}
