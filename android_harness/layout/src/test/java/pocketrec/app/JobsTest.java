// SPDX-License-Identifier: Apache-2.0
package pocketrec.app;

import static org.junit.Assert.assertEquals;
import static org.junit.Assert.assertFalse;
import static org.junit.Assert.assertTrue;
import static org.robolectric.Shadows.shadowOf;

import android.app.Application;
import android.app.job.JobInfo;
import android.app.job.JobScheduler;
import android.os.Looper;

import org.junit.Test;
import org.junit.runner.RunWith;
import org.robolectric.Robolectric;
import org.robolectric.RobolectricTestRunner;
import org.robolectric.RuntimeEnvironment;
import org.robolectric.annotation.Config;

import pocketrec.core.Cancellation;
import pocketrec.core.ConfigException;
import pocketrec.core.FetchException;
import pocketrec.core.PocketRecException;
import pocketrec.jobs.JobPlan;
import pocketrec.jobs.PersonalJob;
import pocketrec.pull.Patience;
import pocketrec.pull.Pull;
import pocketrec.pull.PullOptions;

import java.io.File;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/** The module jobs, with Android's own classes. */
@RunWith(RobolectricTestRunner.class)
@Config(sdk = 35, application = Application.class)
public class JobsTest {
    /** A job whose work the test gives. */
    public static final class Given extends PersonalJob {
        interface Work {
            void run(Cancellation cancellation) throws PocketRecException;
        }

        Work work;
        final CountDownLatch ended = new CountDownLatch(1);

        @Override
        protected void work(Cancellation cancellation) throws PocketRecException {
            try {
                work.run(cancellation);
            } finally {
                ended.countDown();
            }
        }
    }

    private static final JobPlan PLAN = JobPlan.nightly(Given.class, 7);

    private final Application app = RuntimeEnvironment.getApplication();
    private final JobScheduler scheduler = app.getSystemService(JobScheduler.class);

    @Test
    public void aPlanSaysWhen() {
        assertTrue(PLAN.onUnmeteredNetwork().schedule(app));
        JobInfo asked = scheduler.getPendingJob(7);
        assertTrue(asked.isRequireDeviceIdle());
        assertTrue(asked.isRequireCharging());
        assertEquals(JobInfo.NETWORK_TYPE_UNMETERED, asked.getNetworkType());
        assertEquals(24 * 60 * 60 * 1000L, asked.getIntervalMillis());
        assertTrue(PLAN.onUnmeteredNetwork().schedule(app));
        assertTrue("it keeps its turn", asked == scheduler.getPendingJob(7));
        assertTrue(PLAN.whileInUse().onBattery().every(6).schedule(app));
        JobInfo other = scheduler.getPendingJob(7);
        assertFalse(other.isRequireDeviceIdle());
        assertFalse(other.isRequireCharging());
        assertEquals(JobInfo.NETWORK_TYPE_NONE, other.getNetworkType());
        assertEquals(6 * 60 * 60 * 1000L, other.getIntervalMillis());
        PLAN.cancel(app);
        assertFalse(PLAN.isScheduled(app));
    }

    @Test
    public void whatTheNextTryMayCorrectIsTriedAgain() throws Exception {
        assertFalse(againAfter(cancellation -> {}));
        assertTrue(
                againAfter(
                        cancellation -> {
                            throw new FetchException("no server: try again");
                        }));
        assertFalse(
                againAfter(
                        cancellation -> {
                            throw new ConfigException("no address: name one");
                        }));
    }

    private static boolean againAfter(Given.Work work) throws Exception {
        Given job = begun(work);
        LayoutTest.until(() -> shadowOf(job).getIsJobFinished());
        return shadowOf(job).getIsRescheduleNeeded();
    }

    /** The system stops the job: training and pull end, and no result is reported. */
    @Test
    public void aJobThatIsStoppedEnds() throws Exception {
        Given training =
                begun(
                        cancellation -> {
                            while (true) {
                                cancellation.check();
                            }
                        });
        File folder = new File(app.getFilesDir(), "versions");
        Patience patience = Patience.DEFAULT.withPause(1000).withAttempts(99);
        PullOptions options = PullOptions.DEFAULT.withKey("none").withPatience(patience);
        Given pulling = begun(given -> Pull.pull("http://127.0.0.1:9/x", folder, options));
        for (Given job : new Given[] {training, pulling}) {
            assertTrue("it is wanted later", job.onStopJob(null));
            assertTrue("it ends", job.ended.await(60, TimeUnit.SECONDS));
            shadowOf(Looper.getMainLooper()).idle();
            assertFalse(shadowOf(job).getIsJobFinished());
        }
    }

    private static Given begun(Given.Work work) {
        Given job = Robolectric.setupService(Given.class);
        job.work = work;
        assertTrue(job.onStartJob(null));
        return job;
    }
}
