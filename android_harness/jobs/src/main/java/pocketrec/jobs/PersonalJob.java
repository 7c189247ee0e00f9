// SPDX-License-Identifier: Apache-2.0
package pocketrec.jobs;

import android.app.job.JobParameters;
import android.app.job.JobService;
import android.os.Handler;
import android.os.Looper;
import android.util.Log;

import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.core.FetchException;
import pocketrec.core.PocketRecException;
import pocketrec.core.StorageException;

/**
 * Pulling and training in the background, as a job of Android's JobScheduler: an app extends it,
 * names it in its manifest, and asks for it with {@link JobPlan}:
 *
 * <pre>
 * &lt;service android:name=".Nightly" android:exported="false"
 *     android:permission="android.permission.BIND_JOB_SERVICE" /&gt;
 * </pre>
 *
 * <p>The system may stop a job at any moment, and may kill its process without a word. A stopped
 * job is cancelled, and tried again later. What a killed one leaves is whole: states, stores and
 * versions change in one step each, and the next run continues from them.
 */
public abstract class PersonalJob extends JobService {
    private static final String TAG = "PocketRec";

    private final Handler main = new Handler(Looper.getMainLooper());
    private Running running; // main thread

    /** A run of the job on a thread of its own. */
    private static final class Running {
        final Cancellation cancellation = new Cancellation();
        volatile Thread thread;
        boolean stopped; // main thread
    }

    /**
     * The work, on a thread of its own. It ends by itself, or soon after it was cancelled: give
     * {@code cancellation} to {@code TrainingOptions.withCancellation}; a pull ends by itself, for
     * the thread is interrupted too.
     *
     * @param cancellation says that the system stops the job
     * @throws PocketRecException of a server or a full disk: the system tries again, later and
     *     later; of other kinds: it does not, before the next turn
     */
    protected abstract void work(Cancellation cancellation) throws PocketRecException;

    @Override
    public final boolean onStartJob(JobParameters parameters) {
        Running begun = new Running();
        running = begun;
        begun.thread =
                new Thread(
                        () -> {
                            boolean again = again(begun.cancellation);
                            main.post(() -> ended(begun, parameters, again));
                        },
                        "PocketRec job");
        begun.thread.start();
        return true;
    }

    /** Cancels the work; the system tries again later. */
    @Override
    public final boolean onStopJob(JobParameters parameters) {
        if (running != null) {
            running.stopped = true;
            running.cancellation.cancel();
            running.thread.interrupt();
            running = null;
        }
        return true;
    }

    private void ended(Running begun, JobParameters parameters, boolean again) {
        if (!begun.stopped) { // of a stopped job the system wants to hear nothing
            running = null;
            jobFinished(parameters, again);
        }
    }

    /** Does the work; whether it should be tried again. */
    private boolean again(Cancellation cancellation) {
        try {
            work(cancellation);
            return false;
        } catch (CancelledException error) {
            return true;
        } catch (FetchException | StorageException error) {
            Log.w(TAG, "the job will be tried again: " + error.getMessage());
            return true;
        } catch (PocketRecException error) {
            Log.w(TAG, "the job has failed: " + error.getMessage());
            return false;
        }
    }
}
