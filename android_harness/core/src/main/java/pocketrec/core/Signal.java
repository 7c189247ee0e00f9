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

    static Signal of(Table table) throws JsonException {
        Signal signal =
                new Signal(
                        Line.of(table.table("expected")),
                        table.number("weight", 0.0),
                        table.number("strength", 10.0));
        table.end("a signal of the guard");
        if (!(signal.strength > 0)) {
            throw new JsonException("guard: strength of a signal must be above 0");
        }
        return signal;
    }

    /**
     * What the signal adds to the expected gain, of a user with {@code events}, seen on {@code
     * heldback} targets.
     */
    double correction(double value, int heldback, int events) {
        return weight * heldback / (heldback + strength) * (value - expected.at(events));
    }
}
