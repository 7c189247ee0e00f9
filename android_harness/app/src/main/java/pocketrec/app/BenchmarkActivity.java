// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.app.Activity;
import android.content.Intent;
import android.os.Bundle;
import android.util.Log;
import android.view.WindowManager;
import android.widget.TextView;

import pocketrec.core.BenchRequest;
import pocketrec.core.DataException;

import java.io.File;

/**
 * Answers one {@link BenchRequest} and ends; {@code pocketrec android run} starts it through adb.
 *
 * <p>Extras: {@code id}, {@code bundle} (the path of a .zip), {@code runs} (calls of each kind,
 * default 100), {@code threads} (default 1), {@code xnnpack} (on or off, default on). It shows over
 * the lock screen and keeps the screen on, for Android freezes apps that nobody sees.
 */
public final class BenchmarkActivity extends Activity {
    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        getWindow().addFlags(WindowManager.LayoutParams.FLAG_KEEP_SCREEN_ON);
        TextView text = new TextView(this);
        text.setFitsSystemWindows(true);
        text.setText(R.string.measuring);
        setContentView(text);
        if (saved != null) { // the process was ended meanwhile, and the request with it
            finish();
            return;
        }
        Intent intent = getIntent();
        boolean xnnpack = !"off".equals(intent.getStringExtra("xnnpack"));
        try {
            BenchRequest request =
                    new BenchRequest(
                            intent.getStringExtra("id"),
                            new File(String.valueOf(intent.getStringExtra("bundle"))),
                            intent.getIntExtra("runs", 100),
                            intent.getIntExtra("threads", 1));
            HarnessApplication.harness(this)
                    .answer(
                            request,
                            HarnessApplication.runtime(this, xnnpack),
                            xnnpack,
                            this::finish);
        } catch (DataException error) {
            Log.w(Harness.TAG, "error: " + error.getMessage());
            finish();
        }
    }
}
