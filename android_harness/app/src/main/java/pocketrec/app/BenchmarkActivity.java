package pocketrec.app;

import android.app.Activity;
import android.os.Bundle;

/**
 * Runs the benchmark without a screen and ends: the result is bench.json in the app's external
 * files, and its place is logged under PocketRec. Extras: {@code runs} (calls of each kind, default
 * 100) and {@code threads} (default 1).
 */
public final class BenchmarkActivity extends Activity {
    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        int runs = getIntent().getIntExtra("runs", 100);
        int threads = getIntent().getIntExtra("threads", 1);
        if (saved == null) { // not again after a rotation
            HarnessApplication.harness(this).benchmark(runs, threads, this::finish);
        }
    }
}
