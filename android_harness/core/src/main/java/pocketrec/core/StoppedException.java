// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** The training was asked to stop between two steps; the message is the reason. */
final class StoppedException extends PocketRecException {
    /** Where the guard's training or comparison goes on; null = the caller's Course says it. */
    final Paused paused;

    StoppedException(String reason, Paused paused) {
        super(reason);
        this.paused = paused;
    }
}
