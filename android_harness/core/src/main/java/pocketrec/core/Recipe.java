package pocketrec.core;

/**
 * recipe.json: how a device makes the model personal. The rehearsal writes it, the device follows
 * it.
 */
public final class Recipe {
    private static final int FORMAT = 1;

    /** Off: the rehearsal found nothing to gain, and every device stays with the global model. */
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
     * Where training goes on from personal weights: older windows replayed for each new one, at
     * least 0.
     */
    public final double replay;

    /** With fewer events to learn from, the global model is left alone. */
    public final int minimumEvents;

    /** How strongly the items of the person's own history are raised. */
    public final Repeats repeats;

    /** Settings of the guard. */
    public final GuardRecipe guard;

    private Recipe(Table table) throws JsonException {
        if (table.whole("format", 0, FORMAT) != FORMAT) {
            throw new JsonException("its format is " + table.map().get("format"));
        }
        personalise = table.flag("personalise", true);
        way = table.text("way", "partial");
        optimizer = table.text("optimizer", "adagrad");
        learningRate = (float) table.number("learning_rate", 0.02);
        passes = table.whole("passes", 0, 10);
        proximal = (float) table.number("proximal", 0.0);
        targets = table.text("targets", "later");
        replay = table.number("replay", 1.0);
        minimumEvents = table.whole("minimum_events", 0, 1);
        repeats = Repeats.of(table.table("repeats"));
        guard = GuardRecipe.of(table.table("guard"));
        table.table("forecast"); // for reports; the device does not read it
        table.end("it");
        if (!(learningRate > 0 && proximal >= 0 && replay >= 0)) {
            throw new JsonException("learning_rate, proximal or replay is out of range");
        }
        if (!targets.equals("later") && !targets.equals("all")) {
            throw new JsonException("targets must be later or all, not " + targets);
        }
    }

    /**
     * Reads the content of recipe.json.
     *
     * @throws BundleException the format is another, a key is unknown, or a value is wrong
     */
    public static Recipe parse(byte[] content) throws BundleException {
        try {
            return new Recipe(Table.of(Json.parse(content), Contract.RECIPE_FILE));
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
