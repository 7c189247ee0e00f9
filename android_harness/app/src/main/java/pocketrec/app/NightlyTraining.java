package pocketrec.app;

import android.app.job.JobInfo;
import android.app.job.JobParameters;
import android.app.job.JobScheduler;
import android.app.job.JobService;
import android.content.ComponentName;
import android.content.Context;

import pocketrec.core.Cancellation;

/** Personal training once a day, when the device is idle and charging. */
public final class NightlyTraining extends JobService {
    private static final int JOB = 1;
    private static final long DAY_MS = 24 * 60 * 60 * 1000L;

    private Cancellation cancellation;
    private boolean stopped;

    /**
     * Asks the system to run it from now on, or no more where it was asked already.
     *
     * @return whether it will run
     */
    static boolean toggle(Context context) {
        JobScheduler jobs = context.getSystemService(JobScheduler.class);
        if (jobs.getPendingJob(JOB) != null) {
            jobs.cancel(JOB);
            return false;
        }
        JobInfo job =
                new JobInfo.Builder(JOB, new ComponentName(context, NightlyTraining.class))
                        .setRequiresDeviceIdle(true)
                        .setRequiresCharging(true)
                        .setPeriodic(DAY_MS)
                        .build();
        return jobs.schedule(job) == JobScheduler.RESULT_SUCCESS;
    }

    @Override
    public boolean onStartJob(JobParameters parameters) {
        stopped = false;
        cancellation =
                HarnessApplication.harness(this)
                        .trainAndSave(
                                () -> {
                                    if (!stopped) {
                                        jobFinished(parameters, false);
                                    }
                                });
        return true;
    }

    /**
     * The device is wanted again: nothing of the unfinished training stays, and the system tries
     * again later.
     */
    @Override
    public boolean onStopJob(JobParameters parameters) {
        stopped = true;
        cancellation.cancel();
        return true;
    }
}
