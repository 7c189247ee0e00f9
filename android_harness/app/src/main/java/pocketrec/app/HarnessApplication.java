// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.app.Application;
import android.content.Context;

import pocketrec.core.ModelRuntime;
import pocketrec.runtime.TfLiteRuntime;

/** Holds the one {@link Harness} of the process, so that a run outlives rotation. */
public class HarnessApplication extends Application {
    private Harness harness;

    /** The harness of the app that a context belongs to; main thread. */
    static Harness harness(Context context) {
        HarnessApplication application = (HarnessApplication) context.getApplicationContext();
        if (application.harness == null) {
            application.harness = new Harness(application, application.newRuntime(true));
        }
        return application.harness;
    }

    /** What runs models in the app that a context belongs to. */
    static ModelRuntime runtime(Context context, boolean xnnpack) {
        return ((HarnessApplication) context.getApplicationContext()).newRuntime(xnnpack);
    }

    /** The app's TensorFlow Lite; tests that run without its libraries have another. */
    ModelRuntime newRuntime(boolean xnnpack) {
        return new TfLiteRuntime(BuildConfig.RUNTIME, xnnpack);
    }
}
