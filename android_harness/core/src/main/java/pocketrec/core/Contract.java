package pocketrec.core;

/**
 * What the cloud, the exporter and every device runner agree on: names, formats, and nothing else.
 *
 * <p>Written by android_harness/contract.py from device/contract/names.py; do not edit.
 */
public final class Contract {
    /** Version of the bundle and state formats. Readers refuse any other. */
    public static final int FORMAT_VERSION = 1;

    /** Item row that stands for "no item" in every window, target and history. */
    public static final int PADDING = 0;

    public static final String TRAIN = "train";

    public static final String EVALUATE = "evaluate";

    public static final String EMBED = "embed";

    public static final String INFER = "infer";

    public static final String LOOKUP = "lookup";

    public static final String EXPORT_WEIGHTS = "export_weights";

    public static final String IMPORT_WEIGHTS = "import_weights";

    /** int32 [B, T] (train, evaluate) or [1, T] (embed, infer); right-padded with 0. */
    public static final String ITEMS = "items";

    /** int32 [B, T]; 0 = this position does not count. */
    public static final String TARGETS = "targets";

    /** float32 []. */
    public static final String LEARNING_RATE = "learning_rate";

    /** float32 []; strength of the pull to the global weights. */
    public static final String PROXIMAL = "proximal";

    /** int32 [S]; only where the loss is the sampled softmax. */
    public static final String NEGATIVES = "negatives";

    /** int32 [C]; right-padded with 0. */
    public static final String CANDIDATES = "candidates";

    /** float32 []; Java refuses an empty input map. */
    public static final String UNUSED = "unused";

    /** float32 [] (train: mean over the counted targets) or [B, T] (evaluate: 0 where not counted). */
    public static final String LOSS = "loss";

    /** float32 [B, T]; 1 = best, ties count against the target, 0 where not counted. */
    public static final String RANK = "rank";

    /** float32 [1, E]. */
    public static final String USER_EMBEDDING = "user_embedding";

    /** float32 [C, E]. */
    public static final String ITEM_EMBEDDINGS = "item_embeddings";

    /** float32 [1, C]. */
    public static final String SCORES = "scores";

    /** float32 []. */
    public static final String OK = "ok";

    public static final String MANIFEST_FILE = "manifest.json";

    public static final String MODEL_FILE = "model.tflite";

    /** with the next, the transport form of the model file. */
    public static final String SKELETON_FILE = "model.skeleton";

    public static final String WEIGHTS_FILE = "model.weights";

    /** UTF-8, one external item id a line; line i (from 1) is item row i. */
    public static final String ITEMS_FILE = "items.txt";

    public static final String RECIPE_FILE = "recipe.json";

    public static final String CARD_FILE = "MODEL_CARD.md";

    public static final String CANDIDATES_FOLDER = "candidates";

    public static final String FULL_SOFTMAX = "full_softmax";

    public static final String SAMPLED_SOFTMAX = "sampled_softmax";

    /** the ranker of bundles that name none. */
    public static final String INNER_PRODUCT = "inner_product";

    static final String[] SIGNATURES = {
        TRAIN, EVALUATE, EMBED, INFER, LOOKUP, EXPORT_WEIGHTS, IMPORT_WEIGHTS
    };

    private Contract() {}
}
