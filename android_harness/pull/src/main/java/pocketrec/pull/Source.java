// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;

import java.io.Closeable;
import java.io.IOException;
import java.util.Map;

/**
 * Where files are fetched from: {@link Web}, or an application's own HTTP. Redirects are followed
 * by it, and a body comes as it was stored (no Content-Encoding).
 */
public interface Source {
    /**
     * The answer to a GET, whatever its status.
     *
     * @param url the address
     * @param headers to be sent
     * @param timeout seconds for the connection and the head of the answer, and between two pieces
     *     of its body
     * @throws IOException the connection failed; trying again may help
     * @throws FetchException trying again will not help
     */
    Answer get(String url, Map<String, String> headers, double timeout)
            throws IOException, FetchException;

    /** An answer to a GET. */
    interface Answer extends Closeable {
        /** 200, 206, 304, 404, ... */
        int status();

        /** A header by its name, whatever the case; null where it has none. */
        String header(String name);

        /**
         * Some bytes more of the body.
         *
         * @return how many were put into the buffer; below 0 at the end
         */
        int read(byte[] buffer, int most) throws IOException;
    }
}
