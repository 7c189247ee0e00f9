package pocketrec.app;

import android.app.Application;
import android.content.Context;

/** Holds the one {@link Harness} of the process, so that a run outlives rotation. */
public final class HarnessApplication extends Application {
    private Harness harness;

    /** The harness of the app that a context belongs to. */
    static synchronized Harness harness(Context context) {
        HarnessApplication application = (HarnessApplication) context.getApplicationContext();
        if (application.harness == null) {
            application.harness = new Harness(application);
        }
        return application.harness;
    }
}
