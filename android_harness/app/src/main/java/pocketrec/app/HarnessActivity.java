// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.app.Activity;
import android.content.Intent;
import android.content.res.ColorStateList;
import android.content.res.Configuration;
import android.content.res.TypedArray;
import android.os.Bundle;
import android.view.View;
import android.view.ViewGroup;
import android.widget.Button;
import android.widget.GridLayout;
import android.widget.LinearLayout;
import android.widget.ProgressBar;
import android.widget.ScrollView;
import android.widget.TextView;

import java.util.ArrayList;
import java.util.List;

/**
 * Buttons, progress, charts and text; all work is {@link Harness}'s, which outlives this activity.
 */
public final class HarnessActivity extends Activity {
    private static final int PICK = 1;
    private static final int BENCHMARK_RUNS = 100;

    private final List<Button> starters = new ArrayList<>();
    private Harness harness;
    private Harness.Shown shown;
    private Button cancel;
    private ProgressBar progress;
    private ChartView losses;
    private ChartView latencies;
    private TextView text;

    @Override
    protected void onCreate(Bundle saved) {
        super.onCreate(saved);
        harness = HarnessApplication.harness(this);
        shown = harness.shown();
        boolean wide =
                getResources().getConfiguration().orientation == Configuration.ORIENTATION_LANDSCAPE
                        || getResources().getConfiguration().screenWidthDp >= 600;
        GridLayout buttons = new GridLayout(this);
        buttons.setColumnCount(wide ? 4 : 2);
        starter(buttons, R.string.open, this::pick);
        starter(buttons, R.string.train, harness::train);
        starter(buttons, R.string.infer, harness::infer);
        starter(buttons, R.string.evaluate, harness::evaluate);
        starter(buttons, R.string.save, harness::save);
        starter(buttons, R.string.load, harness::load);
        starter(buttons, R.string.benchmark, () -> harness.benchmark(BENCHMARK_RUNS));
        starter(buttons, R.string.nightly, this::schedule);
        cancel = button(buttons, R.string.cancel, harness::cancel);
        progress = new ProgressBar(this, null, android.R.attr.progressBarStyleHorizontal);
        progress.setContentDescription(getString(R.string.progress));
        text = new TextView(this);
        text.setAccessibilityLiveRegion(View.ACCESSIBILITY_LIVE_REGION_POLITE); // read aloud
        text.setTextColor(primary()); // the usual colour of text is too pale to be read easily
        text.setTextIsSelectable(true);
        text.setTypeface(android.graphics.Typeface.MONOSPACE);
        losses = new ChartView(this, getString(R.string.losses));
        latencies = new ChartView(this, getString(R.string.latencies));
        LinearLayout charts = new LinearLayout(this);
        charts.setOrientation(wide ? LinearLayout.HORIZONTAL : LinearLayout.VERTICAL);
        int height = Math.round(160 * getResources().getDisplayMetrics().density);
        int padding = Math.round(16 * getResources().getDisplayMetrics().density);
        progress.setPadding(0, padding / 2, 0, padding / 2);
        charts.setPadding(0, padding, 0, 0);
        for (ChartView chart : new ChartView[] {losses, latencies}) {
            charts.addView(
                    chart,
                    wide
                            ? new LinearLayout.LayoutParams(0, height, 1)
                            : new LinearLayout.LayoutParams(
                                    ViewGroup.LayoutParams.MATCH_PARENT, height));
        }
        LinearLayout page = new LinearLayout(this);
        page.setOrientation(LinearLayout.VERTICAL);
        page.setPadding(padding, padding, padding, padding);
        for (View view : new View[] {buttons, progress, text, charts}) {
            page.addView(view);
        }
        ScrollView scroll = new ScrollView(this);
        scroll.setFitsSystemWindows(true);
        scroll.addView(page);
        setContentView(scroll);
    }

    @Override
    protected void onStart() {
        super.onStart();
        harness.watch(this::refresh);
        refresh();
    }

    @Override
    protected void onStop() {
        harness.watch(() -> {});
        super.onStop();
    }

    @Override
    protected void onActivityResult(int request, int result, Intent data) {
        super.onActivityResult(request, result, data);
        if (request == PICK && result == RESULT_OK && data != null && data.getData() != null) {
            harness.open(data.getData());
        }
    }

    private void refresh() {
        for (Button starter : starters) {
            starter.setEnabled(!shown.busy);
        }
        cancel.setEnabled(shown.busy);
        progress.setIndeterminate(shown.busy && shown.total == 0);
        progress.setMax(Math.max(1, shown.total));
        progress.setProgress(shown.done);
        text.setText(shown.text.isEmpty() ? getString(R.string.ready) : shown.text);
        losses.curve(shown.losses);
        latencies.histogram(shown.latencies);
    }

    /** The theme's colour of the most important text. */
    private ColorStateList primary() {
        TypedArray found = obtainStyledAttributes(new int[] {android.R.attr.textColorPrimary});
        try {
            return found.getColorStateList(0);
        } finally {
            found.recycle();
        }
    }

    private void pick() {
        Intent intent = new Intent(Intent.ACTION_OPEN_DOCUMENT);
        intent.addCategory(Intent.CATEGORY_OPENABLE);
        intent.setType("application/zip");
        startActivityForResult(intent, PICK);
    }

    private void schedule() {
        boolean scheduled = NightlyTraining.toggle(this);
        harness.say(getString(scheduled ? R.string.scheduled : R.string.unscheduled));
    }

    private void starter(ViewGroup parent, int label, Runnable action) {
        starters.add(button(parent, label, action));
    }

    private Button button(ViewGroup parent, int label, Runnable action) {
        Button button = new Button(this);
        button.setText(label);
        button.setOnClickListener(view -> action.run());
        GridLayout.LayoutParams place =
                new GridLayout.LayoutParams(
                        GridLayout.spec(GridLayout.UNDEFINED),
                        GridLayout.spec(GridLayout.UNDEFINED, GridLayout.FILL, 1f)); // even columns
        place.width = 0;
        button.setMinHeight(Math.round(48 * getResources().getDisplayMetrics().density));
        parent.addView(button, place);
        return button;
    }
}
