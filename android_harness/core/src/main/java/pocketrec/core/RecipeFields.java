// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

/**
 * The fields of recipe.json: what each takes, and what it is where it is absent.
 *
 * <p>Written by android_harness/recipe_fields.py from device/contract/recipe.py; do not edit.
 */
final class RecipeFields {
    /** Format of the file. */
    static final Long FORMAT = 1L;

    /** The file itself. */
    static final Field[] RECIPE = {
        Field.whole("format", 1),
        Field.flag("personalise", true),
        Field.text("way", "partial"),
        Field.text("optimizer", "adagrad"),
        Field.number("learning_rate", 0.02).above(0),
        Field.whole("passes", 10).atLeast(0),
        Field.number("proximal", 0.0).atLeast(0),
        Field.text("targets", "later").oneOf("later", "all"),
        Field.number("replay", 1.0).atLeast(0),
        Field.whole("minimum_events", 1).atLeast(0),
        Field.table("repeats"),
        Field.table("guard"),
        Field.table("forecast"),
    };

    /** Its table repeats. */
    static final Field[] REPEATS = {
        Field.number("strength", 0.0).atLeast(0),
        Field.number("decay", 0.8).above(0).atMost(1),
        Field.number("power", 0.0).atLeast(0),
        Field.number("follows", 0.0).atLeast(0),
        Field.number("time_power", 0.0).atLeast(0),
        Field.number("slope", 0.0),
        Field.number("headroom", 0.0).atLeast(0).atMost(1),
    };

    /** Its table guard. */
    static final Field[] GUARD = {
        Field.flag("enabled", true),
        Field.number("holdback", 0.3).above(0).below(1),
        Field.whole("minimum_heldback", 2).atLeast(1),
        Field.number("threshold", 0.0),
        Field.table("prior"),
        Field.number("price", 0.0).atLeast(0),
    };

    /** Each table in guard.prior. */
    static final Field[] PRIOR = {
        Field.table("gain"),
        Field.table("loglik"),
        Field.table("rr"),
        Field.table("spread"),
    };

    /** Tables loglik and rr of a prior. */
    static final Field[] SIGNAL = {
        Field.table("expected"),
        Field.number("weight", 0.0),
        Field.number("strength", 10.0).above(0),
    };

    /** Table gain of a prior, and expected of a signal. */
    static final Field[] LINE = {
        Field.number("intercept", 0.0),
        Field.number("slope", 0.0),
    };

    private RecipeFields() {}
}
