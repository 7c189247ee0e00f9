// SPDX-License-Identifier: Apache-2.0
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

    /** only in files that find items of the whole catalogue. */
    public static final String RETRIEVE = "retrieve";

    /** only in files with a ranker of a second stage; takes and gives what infer does. */
    public static final String RANK_CANDIDATES = "rank";

    /** only in files with a second, small batch; takes and gives what train does. */
    public static final String TRAIN_SMALL = "train_small";

    /** the same of evaluate. */
    public static final String EVALUATE_SMALL = "evaluate_small";

    /** int32 [B, T] (train, evaluate) or [1, T] (embed, infer); right-padded with 0. */
    public static final String ITEMS = "items";

    /** int32 [B, T]; [B, 1] if not causal; [P] with way ranker, P targets a step; 0 = no target. */
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

    /** float32 [] (train: mean over counted targets) or like targets (evaluate: 0 where not counted). */
    public static final String LOSS = "loss";

    /** float32 like targets; 1 = best, ties count against the target, 0 where not counted. */
    public static final String RANK = "rank";

    /** float32 [1, E]. */
    public static final String USER_EMBEDDING = "user_embedding";

    /** float32 [C, E]. */
    public static final String ITEM_EMBEDDINGS = "item_embeddings";

    /** float32 [1, C]; of retrieve [1, K], best first, and candidates int32 [K] beside it. */
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

    /** in a bundle's folder, beside what its manifest lists. */
    public static final String PATCHES_FOLDER = "patches";

    public static final String PATCH_FORMAT = "pocketrec-patch-2";

    /** signature; only bundles whose patches devices train have it. */
    public static final String TRAIN_TASK = "train_task";

    /** float32 [S, E]; the task's rows that a step compares. */
    public static final String HEAD = "head";

    /** float32 [B, S]; 1 at the row of a window's target, all 0 where the window does not count. */
    public static final String WANTED = "wanted";

    /** float32 [S]; added to their scores, very small where a row is not there. */
    public static final String BIASES = "biases";

    /** prefix of the tensors, like the trained ones, that the proximal pull goes to. */
    public static final String ORIGIN = "origin_";

    /** the inner product, an item bias, and a small network over both embeddings. */
    public static final String RANKNET = "ranknet";

    /** the way that trains these, but for ranker_B, and nothing of the layers. */
    public static final String RANKER_WAY = "ranker";

    /** signature, of that way alone: takes items int32 [B, T], gives the next tensor. */
    public static final String EMBED_WINDOWS = "embed_windows";

    /** float32 [B, T or 1, E]; train and evaluate of that way take [P, E] of them. */
    public static final String USER_EMBEDDINGS = "user_embeddings";

    static final String[] SIGNATURES = {
        TRAIN, EVALUATE, EMBED, INFER, LOOKUP, EXPORT_WEIGHTS, IMPORT_WEIGHTS
    };

    private Contract() {}
}
