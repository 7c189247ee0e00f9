// SPDX-License-Identifier: Apache-2.0
package pocketrec.kotlin

import java.io.File
import kotlinx.coroutines.CoroutineDispatcher
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runInterruptible
import pocketrec.core.PocketRecException
import pocketrec.pull.Pull
import pocketrec.pull.PullOptions
import pocketrec.pull.Pulled

/**
 * [Pull.pull] that suspends. A coroutine that is cancelled ends it at the next piece that is received, and the next
 * pull continues there; whatever happens, the version in use is as it was.
 *
 * @param url address of the published folder; "" = the one that was pulled from before
 * @param folder the folder of versions; made where it is missing
 * @throws PocketRecException as [Pull.pull] does
 */
public suspend fun pull(
    url: String,
    folder: File,
    options: PullOptions = PullOptions.DEFAULT,
    dispatcher: CoroutineDispatcher = Dispatchers.IO,
): Pulled = ours { runInterruptible(dispatcher) { Pull.pull(url, folder, options) } }
