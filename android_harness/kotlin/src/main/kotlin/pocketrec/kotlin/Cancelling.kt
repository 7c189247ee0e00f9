// SPDX-License-Identifier: Apache-2.0
package pocketrec.kotlin

import kotlin.coroutines.coroutineContext
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import pocketrec.core.Cancellation
import pocketrec.core.PocketRecException

/** Work on a dispatcher that a cancelled coroutine ends through the [Cancellation] it is given. */
internal suspend fun <T> cancellable(dispatcher: CoroutineDispatcher, work: (Cancellation) -> T): T {
    val cancellation = Cancellation()
    return ours {
        coroutineScope {
            // Unconfined: the canceller's own thread calls cancel, also where the dispatcher has one thread.
            val watcher =
                launch(Dispatchers.Unconfined, CoroutineStart.UNDISPATCHED) {
                    try {
                        awaitCancellation()
                    } finally {
                        cancellation.cancel()
                    }
                }
            try {
                withContext(dispatcher) { work(cancellation) }
            } finally {
                watcher.cancel()
            }
        }
    }
}

/** Runs a call; where the coroutine was cancelled its CancellationException comes, and not what the call made of it. */
internal suspend fun <T> ours(call: suspend () -> T): T =
    try {
        call()
    } catch (error: PocketRecException) {
        coroutineContext.ensureActive()
        throw error
    }
