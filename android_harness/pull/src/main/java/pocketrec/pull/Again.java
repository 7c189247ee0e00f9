// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

import pocketrec.core.FetchException;

/** An attempt to fetch failed in a way that another one may not. */
final class Again extends Exception {
    final double wait;

    Again(String reason, double wait) {
        super(reason.replaceAll("[^\\p{Print}]", " ").trim());
        this.wait = wait;
    }

    Again(String reason) {
        this(reason, 0);
    }

    /** Says what a status means that brings no content. */
    static void refuse(String url, Source.Answer answer) throws Again, FetchException {
        int status = answer.status();
        switch (status) {
            case 408:
            case 425:
            case 429:
            case 500:
            case 502:
            case 503:
            case 504:
                throw new Again("status " + status, seconds(answer.header("Retry-After")));
            default:
        }
        if (status < 300) {
            throw new FetchException(
                    url + " answers with status " + status + ": name the right address");
        }
        String circles = status < 400 ? ", again and again" : "";
        String told =
                url
                        + " cannot be fetched (status "
                        + status
                        + circles
                        + "): ask for the right address, or whether something is published there";
        throw status == 404 || status == 410 ? new AbsentException(told) : new FetchException(told);
    }

    private static double seconds(String retryAfter) {
        boolean number = retryAfter != null && retryAfter.matches("[0-9]{1,9}");
        return number ? Double.parseDouble(retryAfter) : 0;
    }
}
