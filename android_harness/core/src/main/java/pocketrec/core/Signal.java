// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/** How far one held-back measurement is believed. */
final class Signal {
    /** Its mean over rehearsed users with n events. */
    final Line expected;

    /** Gain in reciprocal rank for each unit of the signal; 0 = not used. */
    final double weight;

    /** Held-back targets at which half of the signal is believed, above 0. */
    final double strength;

    Signal(Line expected, double weight, double strength) {
        this.expected = expected;
        this.weight = weight;
        this.strength = strength;
    }

    static Signal of(Fields fields) throws JsonException {
        return new Signal(
                Line.of(fields.table("expected", RecipeFields.LINE)),
                fields.number("weight"),
                fields.number("strength"));
    }

    /**
     * What the signal adds to the expected gain, of a user with {@code events}, seen on {@code
     * heldback} targets.
     */
    double correction(double value, int heldback, int events) {
        return weight * heldback / (heldback + strength) * (value - expected.at(events));
    }
}
