// SPDX-License-Identifier: Apache-2.0
package pocketrec.kotlin

import java.io.Closeable
import java.io.File
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.channelFlow
import kotlinx.coroutines.withContext
import pocketrec.core.Event
import pocketrec.core.PocketRecException
import pocketrec.core.QualityReport
import pocketrec.core.RecommendOptions
import pocketrec.core.Recommendation
import pocketrec.core.Recommender
import pocketrec.core.TrainingOptions

/**
 * A [Recommender] whose calls suspend: none blocks the caller's thread, Android's main one included.
 *
 * Every call throws what the method of the same name in [Recommender] throws, a [PocketRecException].
 *
 * @property recommender does the work; its own methods may be called too
 * @param dispatcher where the work is done; calls wait for each other, so one thread at a time is busy
 */
public class SuspendingRecommender(
    public val recommender: Recommender,
    private val dispatcher: CoroutineDispatcher = Dispatchers.IO,
) : Closeable {
    /** Appends events; gives how many are of items that the vocabulary lacks. */
    public suspend fun add(events: List<Event>): Int = work { recommender.add(events) }

    /**
     * Makes the model personal when it is collected: a [Training.Step] for each train step, and
     * [Training.Finished] at the end. A collector that is cancelled ends the training before its next step,
     * and the weights are as they were. A slow collector misses steps, never the end.
     *
     * @param events added to the history first
     * @param resume continue from the present weights
     * @param options passes; progress and cancellation are those of the flow
     */
    public fun personalise(
        events: List<Event> = emptyList(),
        resume: Boolean = false,
        options: TrainingOptions = TrainingOptions.DEFAULT,
    ): Flow<Training> =
        channelFlow {
            val report =
                cancellable(dispatcher) { cancellation ->
                    val told =
                        options.withCancellation(cancellation).withProgress { done, total, loss ->
                            trySend(Training.Step(done, total, loss))
                        }
                    recommender.personalise(events, resume, told)
                }
            send(Training.Finished(report))
        }.buffer(64, BufferOverflow.DROP_OLDEST)

    /** The best [k] items, best first. */
    public suspend fun recommend(
        k: Int = 10,
        options: RecommendOptions = RecommendOptions.DEFAULT,
    ): List<Recommendation> = work { recommender.recommend(k, options) }

    /** How well this device has recommended; ranks first what is new. */
    public suspend fun quality(k: Int = 10, last: Int = 1000): QualityReport =
        work { recommender.quality(k, last) }

    /** What people call each item; "" where the bundle does not say. */
    public suspend fun titles(items: List<String>): List<String> = work { recommender.titles(items) }

    /** The best items of a task, or classes with their probabilities, best first. */
    public suspend fun recommendFor(task: String, k: Int = 10): List<Recommendation> =
        work { recommender.task(task).recommend(k, null, false, System.currentTimeMillis() / 1000.0) }

    /** The user embedding after the history; it stays on the device. */
    public suspend fun embed(): FloatArray = work { recommender.embed() }

    /** Whether the bundle has candidates for this user, or there is a history. */
    public suspend fun isKnown(): Boolean = work { recommender.isKnown }

    /** Writes the state in one step and keeps the previous generation. */
    public suspend fun save(): Unit = work { recommender.save() }

    /** Replaces history and weights by those of the state file. */
    public suspend fun load(): Unit = work { recommender.load() }

    /** Deletes events, and what was trained on them; gives how many events went. */
    public suspend fun forget(events: List<Event>): Int = work { recommender.forget(events) }

    /** Writes all events that are kept to a CSV file; gives how many. */
    public suspend fun export(file: File): Int = work { recommender.export(file) }

    /** Deletes everything personal; gives the files. */
    public suspend fun wipe(): List<File> = work { recommender.wipe() }

    /** Gives the model's memory back, once a call that is running has ended. */
    override fun close(): Unit = recommender.close()

    private suspend fun <T> work(call: () -> T): T = withContext(dispatcher) { call() }
}
