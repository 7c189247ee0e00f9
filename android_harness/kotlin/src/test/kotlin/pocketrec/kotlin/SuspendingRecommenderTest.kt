// SPDX-License-Identifier: Apache-2.0
package pocketrec.kotlin

import java.io.File
import java.nio.file.Path
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.collect
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertThrows
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import pocketrec.core.Bundle
import pocketrec.core.Event
import pocketrec.core.FetchException
import pocketrec.core.Recommender
import pocketrec.core.StateException
import pocketrec.core.TrainingOptions
import pocketrec.desktop.LiteRtRuntime
import pocketrec.pull.Patience
import pocketrec.pull.PullOptions

/** The facade on the bundle that the Java tests use, with LiteRT. */
@OptIn(ExperimentalCoroutinesApi::class)
class SuspendingRecommenderTest {
    @TempDir lateinit var folder: Path

    private val bundle = Bundle.open(File(System.getProperty("pocketrec.reference"), "plain"))
    private val events =
        (0 until 40).map { Event("item ${1 + it % 5}", bundle.manifest.cutOff!! + it) }

    private fun opened(state: String? = null): SuspendingRecommender {
        val python = File(System.getProperty("pocketrec.python"))
        val runtime = LiteRtRuntime.find(python.parentFile.parentFile)
        val file = state?.let { folder.resolve(it).toFile() }
        val one = Recommender(bundle, runtime, "u1", file, 1)
        return SuspendingRecommender(one, Dispatchers.IO.limitedParallelism(1))
    }

    @Test
    fun callsGiveWhatTheRecommenderGives() = runBlocking<Unit> {
        opened("state").use { one ->
            assertEquals(1, one.add(events + Event("nothing")))
            val told = one.personalise().toList()
            val report = (told.last() as Training.Finished).report
            assertEquals(40, report.history)
            assertTrue(report.events > 0, report.reason)
            assertTrue(told.dropLast(1).all { it is Training.Step && it.done in 1..it.total })
            one.save()
            val best = one.recommend(5)
            assertEquals(one.recommender.recommend(5).map { it.item }, best.map { it.item })
            opened("state").use { again ->
                assertArrayEquals(one.embed(), again.embed())
                assertEquals(best.map { it.item }, again.recommend(5).map { it.item })
            }
            assertEquals(8, one.forget(listOf(Event("item 1"))))
            assertTrue(one.isKnown())
            assertEquals(32, one.export(folder.resolve("events.csv").toFile()))
            assertEquals(1, one.wipe().size)
        }
    }

    @Test
    fun aCollectorThatIsCancelledEndsTheTraining() = runBlocking<Unit> {
        opened().use { one ->
            one.add(events)
            val before = one.embed()
            val endless = TrainingOptions.DEFAULT.withPasses(1_000_000)
            assertTrue(one.personalise(options = endless).first() is Training.Step)
            val job = launch { one.personalise(options = endless).collect {} }
            withTimeout(60_000) { // an endless training would hold the recommender
                job.cancelAndJoin()
                assertArrayEquals(before, one.embed())
            }
        }
    }

    @Test
    fun errorsArrive() = runBlocking<Unit> {
        opened().use { one ->
            assertThrows(StateException::class.java) { runBlocking { one.save() } }
        }
        val options = PullOptions.DEFAULT.withKey("none").withPatience(Patience.DEFAULT.withAttempts(1))
        assertThrows(FetchException::class.java) {
            runBlocking { pull("http://127.0.0.1:9/x", folder.resolve("versions").toFile(), options) }
        }
    }

    @Test
    fun aPullThatWaitsIsCancelled() = runBlocking<Unit> {
        val patience = Patience.DEFAULT.withPause(1000.0).withAttempts(99)
        val options = PullOptions.DEFAULT.withKey("none").withPatience(patience)
        val job = launch { pull("http://127.0.0.1:9/x", folder.resolve("versions").toFile(), options) }
        withTimeout(60_000) { // it would wait for an hour
            kotlinx.coroutines.delay(100)
            job.cancelAndJoin()
        }
        assertTrue(job.isCancelled)
    }
}
