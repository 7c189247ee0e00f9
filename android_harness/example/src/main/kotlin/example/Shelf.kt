// SPDX-License-Identifier: Apache-2.0
package example

import android.content.Context
import java.io.Closeable
import java.io.File
import kotlinx.coroutines.runBlocking
import pocketrec.core.Bundle
import pocketrec.core.Cancellation
import pocketrec.core.Event
import pocketrec.core.Recommender
import pocketrec.jobs.JobPlan
import pocketrec.jobs.PersonalJob
import pocketrec.kotlin.SuspendingRecommender
import pocketrec.kotlin.Training
import pocketrec.kotlin.pull
import pocketrec.pull.PullOptions
import pocketrec.pull.Versions
import pocketrec.runtime.AndroidDatabases
import pocketrec.runtime.TfLiteRuntime
import pocketrec.store.EventStore

const val URL = "https://example.org/bundle"
const val KEY = "0000000000000000000000000000000000000000000000000000000000000000" // the publisher's

// example begins
/** A shelf of recommendations: what is opened is recorded, and the best five are shown. */
class Shelf(context: Context, user: String) : Closeable {
    private val files = context.filesDir
    private val store = EventStore.open(File(files, "$user.events"), AndroidDatabases())
    private val bundle = Bundle.open(Versions.resolve(File(files, "bundle"))) // pulled before
    private val state = File(files, "$user.state") // need not exist yet
    private val recommender =
        SuspendingRecommender(Recommender(bundle, TfLiteRuntime(), user, state, store, 1))

    suspend fun opened(item: String): Int = recommender.add(listOf(Event(item))) // on the disk now

    suspend fun best(): List<String> = recommender.recommend(5).map { it.item }

    suspend fun train(show: (String) -> Unit) {
        recommender.personalise().collect { told ->
            when (told) {
                is Training.Step -> show("step ${told.done} of ${told.total}, loss ${told.loss}")
                is Training.Finished -> show("${told.report.choice}: ${told.report.reason}")
            }
        }
        recommender.save()
    }

    override fun close() = recommender.close().also { store.close() }
}

/** At night, charging, on an unmetered network: the latest release, then training with it. */
class Nightly : PersonalJob() {
    override fun work(cancellation: Cancellation) = runBlocking {
        pull(URL, File(filesDir, "bundle"), PullOptions.DEFAULT.withUsers(listOf("u1")).withKey(KEY))
        Shelf(this@Nightly, "u1").use { it.train { _ -> cancellation.check() } }
    }
}

fun plan(context: Context) =
    JobPlan.nightly(Nightly::class.java, 1).onUnmeteredNetwork().schedule(context)
// example ends
