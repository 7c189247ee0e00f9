// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.Map;

/**
 * What the rehearsal knows of one choice before a user's own events are judged.
 */
final class Prior {
    /**
     * Used where no rehearsal was made: nothing is expected, and the sign of the log-likelihood
     * decides.
     */
    static final Prior NEUTRAL =
            new Prior(
                    new Line(0, 0),
                    new Signal(new Line(0, 0), 0.1, 10.0),
                    new Signal(new Line(0, 0), 0.0, 10.0),
                    new Line(0, 0));

    /** Mean gain in reciprocal rank on the users' real future. */
    final Line gain;

    /** Gain in mean log-likelihood of the held-back targets, in nats. */
    final Signal loglik;

    /** Gain in mean reciprocal rank of the held-back targets. */
    final Signal rr;

    /** Standard deviation of the real gain around the expected one. */
    final Line spread;

    Prior(Line gain, Signal loglik, Signal rr, Line spread) {
        this.gain = gain;
        this.loglik = loglik;
        this.rr = rr;
        this.spread = spread;
    }

    /** The table of a prior with what is absent filled in. */
    static Map<String, Object> plain(Fields fields) throws JsonException {
        Map<String, Object> plain = fields.filled();
        for (String name : Arrays.asList("gain", "spread")) {
            plain.put(name, fields.table(name, RecipeFields.LINE).filled());
        }
        for (String name : Arrays.asList("loglik", "rr")) {
            Fields signal = fields.table(name, RecipeFields.SIGNAL);
            Map<String, Object> filled = signal.filled();
            filled.put("expected", signal.table("expected", RecipeFields.LINE).filled());
            plain.put(name, filled);
        }
        return plain;
    }

    static Prior of(Fields fields) throws JsonException {
        return new Prior(
                Line.of(fields.table("gain", RecipeFields.LINE)),
                Signal.of(fields.table("loglik", RecipeFields.SIGNAL)),
                Signal.of(fields.table("rr", RecipeFields.SIGNAL)),
                Line.of(fields.table("spread", RecipeFields.LINE)));
    }
}
