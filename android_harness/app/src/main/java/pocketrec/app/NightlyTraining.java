// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import android.content.Context;
import android.os.Handler;
import android.os.Looper;

import pocketrec.core.Cancellation;
import pocketrec.core.CancelledException;
import pocketrec.jobs.JobPlan;
import pocketrec.jobs.PersonalJob;

import java.util.concurrent.CountDownLatch;

/** Personal training once a day, when the device is idle and charging. */
public final class NightlyTraining extends PersonalJob {
    private static final JobPlan PLAN = JobPlan.nightly(NightlyTraining.class, 1);

    /**
     * Asks the system to run it from now on, or no more where it was asked already.
     *
     * @return whether it will run
     */
    static boolean toggle(Context context) {
        if (PLAN.isScheduled(context)) {
            PLAN.cancel(context);
            return false;
        }
        return PLAN.schedule(context);
    }

    /** The harness trains on its one worker thread; this one waits for it. */
    @Override
    protected void work(Cancellation cancellation) throws CancelledException {
        CountDownLatch done = new CountDownLatch(1);
        new Handler(Looper.getMainLooper())
                .post(
                        () ->
                                HarnessApplication.harness(this)
                                        .trainAndSave(cancellation, done::countDown));
        try {
            done.await();
        } catch (InterruptedException error) { // the job was stopped, and so the training is, too
            Thread.currentThread().interrupt();
        }
        cancellation.check();
    }
}
