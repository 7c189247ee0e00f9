// SPDX-License-Identifier: Apache-2.0
package pocketrec.jobs;

import android.app.job.JobInfo;
import android.app.job.JobScheduler;
import android.content.ComponentName;
import android.content.Context;

/**
 * When a {@link PersonalJob} may run; every method gives a changed copy.
 *
 * <p>Android's JobScheduler keeps a plan until it is cancelled or the app is uninstalled; after a
 * restart of the device it has to be scheduled again, which an app does at its start.
 */
public final class JobPlan {
    private static final long HOUR_MS = 60 * 60 * 1000L;

    private final Class<? extends PersonalJob> job;
    private final int id;
    private final boolean idle;
    private final boolean charging;
    private final boolean unmetered;
    private final long hours;

    private JobPlan(
            Class<? extends PersonalJob> job,
            int id,
            boolean idle,
            boolean charging,
            boolean unmetered,
            long hours) {
        this.job = job;
        this.id = id;
        this.idle = idle;
        this.charging = charging;
        this.unmetered = unmetered;
        this.hours = hours;
    }

    /**
     * Once a day, while the device is idle and charging.
     *
     * @param job the service, which the app's manifest names
     * @param id number of the job, the app's own choice
     */
    public static JobPlan nightly(Class<? extends PersonalJob> job, int id) {
        return new JobPlan(job, id, true, true, false, 24);
    }

    /**
     * Only on an unmetered network, for a job that pulls. From API 34 on the manifest needs the
     * permission ACCESS_NETWORK_STATE for it, and INTERNET for the pull.
     */
    public JobPlan onUnmeteredNetwork() {
        return new JobPlan(job, id, idle, charging, true, hours);
    }

    /** While the device is in use, too. */
    public JobPlan whileInUse() {
        return new JobPlan(job, id, false, charging, unmetered, hours);
    }

    /** On battery, too. */
    public JobPlan onBattery() {
        return new JobPlan(job, id, idle, false, unmetered, hours);
    }

    /**
     * Once in so many hours, at least 1.
     *
     * @throws IllegalArgumentException below 1
     */
    public JobPlan every(long hours) {
        if (hours < 1) {
            throw new IllegalArgumentException("hours must be at least 1, not " + hours);
        }
        return new JobPlan(job, id, idle, charging, unmetered, hours);
    }

    /**
     * Asks the system to run the job from now on; one that was asked for in the same way before
     * keeps its turn.
     *
     * @return whether it will run
     */
    public boolean schedule(Context context) {
        JobInfo wanted = info(context);
        JobScheduler scheduler = context.getSystemService(JobScheduler.class);
        JobInfo pending = scheduler.getPendingJob(id);
        boolean same =
                pending != null
                        && pending.getService().equals(wanted.getService())
                        && pending.isRequireDeviceIdle() == idle
                        && pending.isRequireCharging() == charging
                        && pending.getIntervalMillis() == wanted.getIntervalMillis()
                        && pending.getNetworkType() == wanted.getNetworkType();
        return same || scheduler.schedule(wanted) == JobScheduler.RESULT_SUCCESS;
    }

    /** Whether the system was asked for it. */
    public boolean isScheduled(Context context) {
        return context.getSystemService(JobScheduler.class).getPendingJob(id) != null;
    }

    /** Runs it no more; one that is running is stopped. */
    public void cancel(Context context) {
        context.getSystemService(JobScheduler.class).cancel(id);
    }

    @SuppressWarnings("deprecation") // getNetworkType is the one that API 26 has
    private JobInfo info(Context context) {
        return new JobInfo.Builder(id, new ComponentName(context, job))
                .setRequiresDeviceIdle(idle)
                .setRequiresCharging(charging)
                .setRequiredNetworkType(
                        unmetered ? JobInfo.NETWORK_TYPE_UNMETERED : JobInfo.NETWORK_TYPE_NONE)
                .setPeriodic(hours * HOUR_MS)
                .build();
    }
}
