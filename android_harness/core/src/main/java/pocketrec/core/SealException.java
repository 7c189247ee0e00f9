// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** What was to be opened was sealed with another key, or is altered. */
public final class SealException extends Exception {
    SealException() {
        super("sealed with another key, or altered");
    }
}
