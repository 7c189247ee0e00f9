// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;

/** The server says that it does not have the file. */
final class AbsentException extends FetchException {
    AbsentException(String message) {
        super(message);
    }
}
