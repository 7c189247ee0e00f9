package pocketrec.core;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;

/**
 * How fast a model runs here, and how much memory it takes. The result has exactly the names of
 * {@code pocketrec bench}.
 *
 * <p>The first call of each kind and the warm-up are apart from the series; the raw series is kept.
 */
public final class Bench {
    private static final int[] QUANTILES = {50, 90, 99};

    private Bench() {}

    /**
     * Measures opening, train step, embed and infer of a bundle's model.
     *
     * @param bundle the bundle
     * @param runtime what runs the model
     * @param threads threads of the runtime's kernels
     * @param calls calls of each kind in the series, at least 1, after a tenth as many for warm-up
     * @param seed seed of the random windows
     * @param cancellation through which another thread may end the work
     * @return JSON values; {@code python} and {@code numpy} are "" here
     */
    public static Map<String, Object> run(
            Bundle bundle,
            ModelRuntime runtime,
            int threads,
            int calls,
            long seed,
            Cancellation cancellation)
            throws PocketRecException {
        calls = Math.max(1, calls);
        double before = Machine.residentMb();
        long started = System.nanoTime();
        try (Model model = bundle.loadModel(runtime, threads)) {
            double load = (System.nanoTime() - started) / 1e6;
            Map<String, Call> kinds = kinds(bundle, model, new Random(seed));
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("runtime", runtime.name());
            result.put("runtime_version", runtime.version());
            result.put("python", "");
            result.put("numpy", "");
            result.put("machine", Machine.facts());
            result.put("threads", (long) threads);
            result.put("model_id", bundle.manifest.modelId);
            result.put("model", bundle.manifest.model);
            result.put("calls", (long) calls);
            result.put("load_ms", Statistics.round(load, 3));
            Map<String, Object> raw = new LinkedHashMap<>();
            for (Map.Entry<String, Call> kind : kinds.entrySet()) {
                raw.put(
                        kind.getKey(),
                        series(result, kind.getKey(), kind.getValue(), calls, cancellation));
            }
            result.put("rss_before_mb", Statistics.round(before, 1));
            result.put("rss_mb", Statistics.round(Machine.residentMb(), 1));
            result.put("peak_rss_mb", Statistics.round(Machine.peakResidentMb(), 1));
            result.put("raw_ms", raw);
            return result;
        }
    }

    private static Map<String, Call> kinds(Bundle bundle, Model model, Random random) {
        int[] items = new int[model.batch * model.window];
        int[] targets = new int[items.length];
        for (int place = 0; place < items.length; place++) {
            items[place] = 1 + random.nextInt(model.items);
            targets[place] = 1 + random.nextInt(model.items);
        }
        int[] one = java.util.Arrays.copyOf(items, model.window);
        int[] candidates = new int[model.candidates];
        for (int place = 0; place < candidates.length; place++) {
            candidates[place] = 1 + place % model.items;
        }
        int[] negatives =
                model.negatives == 0
                        ? null
                        : Windows.logUniform(model.negatives, model.items, 1, 0);
        Recipe recipe = bundle.recipe;
        Map<String, Call> kinds = new LinkedHashMap<>();
        kinds.put(
                "train",
                () -> model.train(items, targets, recipe.learningRate, recipe.proximal, negatives));
        kinds.put("embed", () -> model.embed(one));
        kinds.put("infer", () -> model.infer(one, candidates));
        return kinds;
    }

    private static List<Double> series(
            Map<String, Object> result,
            String kind,
            Call call,
            int calls,
            Cancellation cancellation)
            throws PocketRecException {
        result.put(kind + "_first_ms", Statistics.round(milliseconds(call, cancellation), 4));
        for (int warm = 0; warm < calls / 10; warm++) {
            milliseconds(call, cancellation);
        }
        double[] series = new double[calls];
        List<Double> raw = new ArrayList<>();
        for (int place = 0; place < calls; place++) {
            series[place] = Statistics.round(milliseconds(call, cancellation), 4);
            raw.add(series[place]);
        }
        for (int quantile : QUANTILES) {
            result.put(
                    kind + "_ms_p" + quantile,
                    Statistics.round(Statistics.percentile(series, quantile), 4));
        }
        return raw;
    }

    private static double milliseconds(Call call, Cancellation cancellation)
            throws PocketRecException {
        cancellation.check();
        long started = System.nanoTime();
        call.run();
        return (System.nanoTime() - started) / 1e6;
    }

    private interface Call {
        void run() throws PocketRecException;
    }
}
