// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertNotNull;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Activity;
import android.graphics.Bitmap;
import android.graphics.Canvas;
import android.graphics.Color;
import android.graphics.Rect;
import android.os.Looper;
import android.text.Layout;
import android.view.View;
import android.view.ViewGroup;
import android.view.accessibility.AccessibilityNodeInfo;
import android.widget.Button;
import android.widget.ProgressBar;
import android.widget.TextView;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;
import org.robolectric.annotation.GraphicsMode;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** What TalkBack says, what can be told apart, and what large type does. */
@RunWith(RobolectricTestRunner.class)
@GraphicsMode(GraphicsMode.Mode.NATIVE)
@Config(sdk = 35, application = LayoutTest.OnJvm.class)
public class AccessibilityTest {
    private static final String LIGHT = "w411dp-h891dp-port-notnight-xhdpi";
    private static final String DARK = "w411dp-h891dp-port-night-xhdpi";

    @Test
    @Config(qualifiers = LIGHT)
    public void everyViewHasAName() throws Exception {
        Activity activity = worked();
        int buttons = 0;
        for (View view : views(activity.getWindow().getDecorView())) {
            AccessibilityNodeInfo told = view.createAccessibilityNodeInfo();
            if (view instanceof Button) {
                buttons++;
                assertTrue(told.isClickable());
                assertEquals("android.widget.Button", String.valueOf(told.getClassName()));
                assertTrue("it is read", told.getText().length() > 0);
                float density = activity.getResources().getDisplayMetrics().density;
                assertTrue("a finger finds it", view.getHeight() >= 48 * density - 1);
            } else if (view instanceof ChartView || view instanceof ProgressBar) {
                assertNotNull(told.getContentDescription());
                assertTrue(told.getContentDescription().length() > 0);
            } else if (view instanceof TextView && view.isShown()) {
                assertTrue("it is read", told.getText().length() > 0);
            }
        }
        assertEquals(9, buttons);
        TextView text = LayoutTest.textView(activity);
        assertEquals(View.ACCESSIBILITY_LIVE_REGION_POLITE, text.getAccessibilityLiveRegion());
    }

    /** WCAG 2.1: 4.5 to 1 for text, 3 to 1 for charts; of what is drawn. */
    @Test
    @Config(qualifiers = LIGHT)
    public void contrastInLight() throws Exception {
        contrast(worked());
    }

    @Test
    @Config(qualifiers = DARK)
    public void contrastInTheDark() throws Exception {
        contrast(worked());
    }

    @Test
    @Config(qualifiers = "w320dp-h568dp-port-notnight-hdpi")
    public void twiceTheTypeIsNotCut() throws Exception {
        RuntimeEnvironment.setFontScale(2f);
        Activity activity = worked();
        for (View view : views(activity.getWindow().getDecorView())) {
            if (!(view instanceof TextView) || !view.isShown()) {
                continue;
            }
            TextView text = (TextView) view;
            Layout layout = text.getLayout();
            String shown = text.getText().toString();
            String heights = layout.getHeight() + " of " + room(text) + ": " + shown;
            assertTrue(heights, layout.getHeight() <= room(text));
            for (int line = 0; line < layout.getLineCount(); line++) {
                assertEquals(shown, 0, layout.getEllipsisCount(line));
                int wide = text.getWidth() - text.getPaddingLeft() - text.getPaddingRight();
                assertTrue(shown, layout.getLineMax(line) <= wide + 1); // without blanks at its end
            }
        }
    }

    private static int room(TextView text) {
        return text.getHeight() - text.getCompoundPaddingTop() - text.getCompoundPaddingBottom();
    }

    /** A screen with text and both charts on it. */
    private static Activity worked() throws Exception {
        Activity activity = Robolectric.buildActivity(HarnessActivity.class).setup().get();
        Harness harness = HarnessApplication.harness(activity);
        harness.train();
        LayoutTest.until(() -> !harness.shown().busy);
        harness.benchmark(3);
        LayoutTest.until(() -> !harness.shown().busy);
        shadowOf(Looper.getMainLooper()).idleFor(Duration.ofSeconds(1));
        View page = activity.getWindow().getDecorView(); // laid out anew, for the text is another
        page.measure(
                View.MeasureSpec.makeMeasureSpec(page.getWidth(), View.MeasureSpec.EXACTLY),
                View.MeasureSpec.makeMeasureSpec(page.getHeight(), View.MeasureSpec.EXACTLY));
        page.layout(0, 0, page.getWidth(), page.getHeight());
        return activity;
    }

    private static void contrast(Activity activity) {
        View page = activity.getWindow().getDecorView();
        Bitmap drawn =
                Bitmap.createBitmap(page.getWidth(), page.getHeight(), Bitmap.Config.ARGB_8888);
        page.draw(new Canvas(drawn));
        int looked = 0;
        for (View view : views(page)) {
            boolean text = view instanceof TextView && view.isEnabled();
            Rect place = new Rect();
            if (!(text || view instanceof ChartView) || !view.getGlobalVisibleRect(place)) {
                continue;
            }
            double least = 1;
            double most = 0;
            for (int y = place.top; y < place.bottom; y++) {
                for (int x = place.left; x < place.right; x++) {
                    double light = Color.luminance(drawn.getPixel(x, y));
                    least = Math.min(least, light);
                    most = Math.max(most, light);
                }
            }
            double ratio = (most + 0.05) / (least + 0.05);
            String what = view instanceof TextView ? ((TextView) view).getText() + "" : "a chart";
            assertTrue(what + ": " + ratio, ratio >= (text ? 4.5 : 3));
            looked++;
        }
        assertTrue("buttons, text and charts are seen", looked >= 10);
    }

    private static List<View> views(View view) {
        List<View> found = new ArrayList<>();
        found.add(view);
        if (view instanceof ViewGroup) {
            ViewGroup group = (ViewGroup) view;
            for (int place = 0; place < group.getChildCount(); place++) {
                found.addAll(views(group.getChildAt(place)));
            }
        }
        return found;
    }
}
