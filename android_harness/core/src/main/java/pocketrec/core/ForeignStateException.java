// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** The state belongs to another model, tensor specs or vocabulary. */
final class ForeignStateException extends StateException {
    ForeignStateException(String message) {
        super(message);
    }
}
