// SPDX-License-Identifier: Apache-2.0
package pocketrec.kotlin

import pocketrec.core.Report

/** What a training tells while it runs, and at its end. */
public sealed class Training {
    /**
     * A train step was made.
     *
     * @property done steps made so far of the guard's or the final training
     * @property total its steps
     * @property loss of the step, in nats a counted target
     */
    public data class Step(val done: Int, val total: Int, val loss: Float) : Training()

    /**
     * The training has ended.
     *
     * @property report what was done
     */
    public data class Finished(val report: Report) : Training()
}
