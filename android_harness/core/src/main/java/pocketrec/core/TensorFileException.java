// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * A file is not a whole, unaltered tensor file. The message says in what way, and not what to do.
 */
final class TensorFileException extends Exception {
    TensorFileException(String reason) {
        super(reason);
    }
}
