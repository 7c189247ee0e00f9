// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.Map;

/** Which weights this user gets, and why. */
public final class Decision {
    /** personal, blend or global; unchanged where training that went on found nothing to do. */
    public final String choice;

    /** A few words for the report. */
    public final String reason;

    /** Expected gain in reciprocal rank of blend and personal, where they were weighed. */
    public final Map<String, Double> posterior;

    /** What was seen on the held-back events; null where none were held back. */
    public final Judgement judgement;

    Decision(String choice, String reason, Map<String, Double> posterior, Judgement judgement) {
        this.choice = choice;
        this.reason = reason;
        this.posterior = Collections.unmodifiableMap(posterior);
        this.judgement = judgement;
    }
}
