package pocketrec.app;

import android.app.job.JobInfo;
import android.app.job.JobParameters;
import android.app.job.JobScheduler;
import android.app.job.JobService;
import android.content.ComponentName;
import android.content.Context;

/** Personal training once a day, when the device is idle and charging. */
public final class NightlyTraining extends JobService {
    private static final int JOB = 1;
    private static final long DAY_MS = 24 * 60 * 60 * 1000L;

    /** Asks the system to run it from now on; asking again changes nothing. */
    static void schedule(Context context) {
        JobInfo job =
                new JobInfo.Builder(JOB, new ComponentName(context, NightlyTraining.class))
                        .setRequiresDeviceIdle(true)
                        .setRequiresCharging(true)
                        .setPeriodic(DAY_MS)
                        .build();
        context.getSystemService(JobScheduler.class).schedule(job);
    }

    @Override
    public boolean onStartJob(JobParameters parameters) {
        HarnessApplication.harness(this).trainAndSave(() -> jobFinished(parameters, false));
        return true;
    }

    /**
     * The device is wanted again: nothing of the unfinished training stays, and the system tries
     * again later.
     */
    @Override
    public boolean onStopJob(JobParameters parameters) {
        HarnessApplication.harness(this).cancel();
        return true;
    }
}
