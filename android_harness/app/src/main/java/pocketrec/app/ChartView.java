// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.TypedValue;
import android.view.View;

import pocketrec.core.Statistics;

import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/** A curve or a histogram with its range, in the theme's colours. */
final class ChartView extends View {
    private static final int BINS = 24;

    private final String title;
    private final Paint ink = new Paint(Paint.ANTI_ALIAS_FLAG);
    private float[] heights = new float[0]; // each in 0..1
    private boolean bars;
    private String shown = "";

    ChartView(Context context, String title) {
        super(context);
        this.title = title;
        TypedValue colour = new TypedValue();
        context.getTheme().resolveAttribute(android.R.attr.colorAccent, colour, true);
        ink.setColor(colour.data);
        ink.setTextSize(12 * getResources().getDisplayMetrics().scaledDensity);
        ink.setStrokeWidth(1.5f * getResources().getDisplayMetrics().density);
        ink.setStrokeCap(Paint.Cap.ROUND);
        int gap = Math.round(8 * getResources().getDisplayMetrics().density);
        setPadding(0, gap, gap, gap);
        setVisibility(INVISIBLE); // until there is something to show
    }

    /** Shows values in their order as a curve from 0 to the largest. */
    void curve(List<Float> values) {
        float most = values.isEmpty() ? 0 : Collections.max(values);
        float[] next = new float[values.size()];
        for (int place = 0; place < next.length; place++) {
            next[place] = most > 0 ? values.get(place) / most : 0;
        }
        set(next, false, most);
    }

    /** Shows how often values occur, from 0 to the 99th percentile. */
    void histogram(double[] values) {
        if (values.length == 0) {
            set(new float[0], true, 0);
            return;
        }
        double high = Statistics.percentile(values, 99);
        int[] counts = Statistics.histogram(values, 0, high, BINS);
        float most = Arrays.stream(counts).max().getAsInt();
        float[] next = new float[BINS];
        for (int bin = 0; bin < BINS; bin++) {
            next[bin] = counts[bin] / most;
        }
        set(next, true, high);
    }

    @Override
    protected void onDraw(Canvas canvas) {
        super.onDraw(canvas);
        float line = ink.getTextSize() * 1.4f;
        float top = getPaddingTop() + line * 1.5f;
        float bottom = getHeight() - getPaddingBottom();
        float width = getWidth() - getPaddingRight();
        canvas.drawText(shown, 0, getPaddingTop() + line, ink);
        canvas.drawLine(0, bottom, width, bottom, ink);
        float step = width / (float) Math.max(1, bars ? heights.length : heights.length - 1);
        for (int place = 0; place < heights.length; place++) {
            float y = bottom - heights[place] * (bottom - top);
            if (bars) {
                canvas.drawRect(place * step, y, (place + 0.9f) * step, bottom, ink);
            } else if (place > 0) {
                float before = bottom - heights[place - 1] * (bottom - top);
                canvas.drawLine((place - 1) * step, before, place * step, y, ink);
            }
        }
    }

    private void set(float[] next, boolean asBars, double most) {
        heights = next;
        bars = asBars;
        shown =
                next.length == 0
                        ? title
                        : getContext().getString(R.string.range, title, most);
        setVisibility(next.length == 0 ? INVISIBLE : VISIBLE);
        setContentDescription(shown);
        invalidate();
    }
}
