// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Map;

/**
 * recipe.json: how a device makes the model personal. The rehearsal writes it, the device follows
 * it.
 */
public final class Recipe {
    /**
     * Off: the rehearsal found no training that gains enough at little harm; every device stays
     * with the global model.
     */
    public final boolean personalise;

    /** Which tensors the model file trains: partial (last GRU + FC), head (FC) or whole. */
    public final String way;

    /** Optimiser of the model file. */
    public final String optimizer;

    /** Rate of every step, above 0. */
    public final float learningRate;

    /**
     * Passes over the user's windows; 0 = the weights stay global, and the bonus for repeats alone
     * is personal.
     */
    public final int passes;

    /** Strength of the pull to the global weights, at least 0. */
    public final float proximal;

    /** Events trained on: later (those at or after the manifest's cut-off) or all. */
    public final String targets;

    /**
     * Where training continues from personal weights: older windows replayed for each new one, at
     * least 0.
     */
    public final double replay;

    /** With fewer events to learn from, the global model is left alone. */
    public final int minimumEvents;

    /** How strongly the items of the person's own history are raised. */
    public final Repeats repeats;

    /** Settings of the guard. */
    public final GuardRecipe guard;

    /** The content of recipe.json with what is absent filled in, as Python's to_dict gives it. */
    final Map<String, Object> plain;

    private Recipe(Fields fields) throws JsonException {
        personalise = fields.flag("personalise");
        way = fields.text("way");
        optimizer = fields.text("optimizer");
        learningRate = (float) fields.number("learning_rate");
        passes = fields.whole("passes");
        proximal = (float) fields.number("proximal");
        targets = fields.text("targets");
        replay = fields.number("replay");
        minimumEvents = fields.whole("minimum_events");
        repeats = Repeats.of(fields.table("repeats", RecipeFields.REPEATS));
        guard = GuardRecipe.of(fields.table("guard", RecipeFields.GUARD));
        plain = fields.filled();
        plain.put("repeats", fields.table("repeats", RecipeFields.REPEATS).filled());
        plain.put("guard", guard.plain);
        plain.put("forecast", fields.table("forecast").map());
    }

    /**
     * Reads the content of recipe.json.
     *
     * @throws BundleException the format is another, a key is unknown, or a value is wrong
     */
    public static Recipe parse(byte[] content) throws BundleException {
        try {
            Table table = Table.of(Json.parse(content), Contract.RECIPE_FILE);
            Object format = table.map().get("format");
            if (format != null && !format.equals(RecipeFields.FORMAT)) {
                throw new JsonException("its format is " + format);
            }
            return new Recipe(Fields.of(table, RecipeFields.RECIPE, ""));
        } catch (JsonException error) {
            throw new BundleException(
                    "cannot follow "
                            + Contract.RECIPE_FILE
                            + " ("
                            + error.getMessage()
                            + "): use a bundle made for this version of pocketrec");
        }
    }

    /**
     * Index of the first event to train on, where {@code since} is that of the first event after
     * the cut-off.
     */
    int firstTarget(int since) {
        return targets.equals("all") ? 0 : since;
    }
}
