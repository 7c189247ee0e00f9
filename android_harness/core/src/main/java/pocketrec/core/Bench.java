// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.function.Supplier;

/**
 * How fast a model runs here, and how much memory it takes. The result has the form of {@code
 * pocketrec.device.bench.schema}; null is what is not measured here.
 *
 * <p>The first call of each kind and the warm-up are apart from the series; the raw series is kept.
 */
public final class Bench {
    private static final int[] QUANTILES = {50, 90, 99};
    private static final long FORMAT = 2;

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
        return run(bundle, runtime, threads, calls, seed, cancellation, Collections::emptyMap);
    }

    /**
     * The same, with tables of the caller's own beside.
     *
     * @param tables asked once after the last call, while the model is still open, so that what it
     *     says of memory has the model in it
     */
    public static Map<String, Object> run(
            Bundle bundle,
            ModelRuntime runtime,
            int threads,
            int calls,
            long seed,
            Cancellation cancellation,
            Supplier<Map<String, Object>> tables)
            throws PocketRecException {
        calls = Math.max(1, calls);
        Double temperature = Machine.hottest();
        double before = Machine.residentMb();
        long started = System.nanoTime();
        try (Model model = bundle.loadModel(runtime, threads)) {
            double load = (System.nanoTime() - started) / 1e6;
            Map<String, Object> timed = new LinkedHashMap<>();
            Map<String, Object> raw = new LinkedHashMap<>();
            for (Map.Entry<String, Call> kind : kinds(bundle, model, new Random(seed)).entrySet()) {
                raw.put(
                        kind.getKey(),
                        series(timed, kind.getKey(), kind.getValue(), calls, cancellation));
            }
            double now = Machine.residentMb();
            double peak = Machine.peakResidentMb();
            Map<String, Object> result = new LinkedHashMap<>();
            result.put("format", FORMAT);
            result.put("runtime", runtime.name());
            result.put("runtime_version", runtime.version());
            result.put("python", "");
            result.put("numpy", "");
            result.put("machine", Machine.facts());
            result.put("emulated", "1".equals(System.getenv("POCKETREC_EMULATED")));
            result.put("threads", (long) threads);
            result.put("energy", "not measured");
            result.put("temperature_before_c", temperature);
            result.put("temperature_after_c", Machine.hottest());
            result.put("model_id", bundle.manifest.modelId);
            result.put("model_sha256", Storage.sha256(bundle.modelFile()));
            result.put("model", bundle.manifest.model);
            result.put("calls", (long) calls);
            result.put("warm_up_calls", (long) (calls / 10));
            result.put("load_ms", Statistics.round(load, 3));
            result.put("start_ms", null);
            result.put("rss_before_mb", Statistics.round(before, 1));
            result.put("rss_mb", Statistics.round(now, 1));
            result.put("rss_delta_mb", Statistics.round(now - before, 1));
            result.put("peak_rss_mb", Statistics.round(peak, 1));
            result.put("sgemm_gflops", null);
            result.putAll(timed);
            result.put("raw_ms", raw);
            result.putAll(tables.get());
            return result;
        } catch (java.io.IOException error) {
            throw Storage.failed(bundle.modelFile(), error);
        }
    }

    private static Map<String, Call> kinds(Bundle bundle, Model model, Random random)
            throws PocketRecException {
        int[] items = new int[model.batch * model.window];
        int[] targets = new int[model.batch * model.targets];
        for (int place = 0; place < items.length; place++) {
            items[place] = 1 + random.nextInt(model.items);
            targets[place % targets.length] = 1 + random.nextInt(model.items);
        }
        Steps given = new Steps(model, Windows.of(items, targets), 0);
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
        kinds.put("train", () -> given.train(0, recipe, negatives));
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
        for (String unknown : new String[] {"_mflop", "_limit_ms", "_ratio"}) {
            result.put(kind + unknown, null);
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
