// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** What a state file belongs to: a model, the specs of its tensors, and a vocabulary. */
final class StateBinding {
    /** Names of what is written down, and what they are. */
    final Map<String, String> facts = new LinkedHashMap<>();

    /** Specs of trainable tensors and slots, by name. */
    final Map<String, TensorSpec> specs = new TreeMap<>();

    /** The largest row of a history. */
    final int rows;

    private StateBinding(Manifest manifest, String model, String vocabulary, int rows) {
        facts.put("model_id", model);
        facts.put("specs", manifest.specsSha256);
        facts.put("vocabulary", vocabulary);
        for (List<TensorSpec> kind : Arrays.asList(manifest.trainable, manifest.slots)) {
            for (TensorSpec spec : kind) {
                specs.put(spec.name, spec);
            }
        }
        this.rows = rows;
    }

    /** The binding of a user's state to a bundle. */
    static StateBinding of(Manifest manifest) {
        return new StateBinding(
                manifest,
                manifest.modelId,
                manifest.vocabularySha256,
                manifest.items + manifest.leanReserved);
    }

    /** The binding of a user's state in a task to a bundle and a patch. */
    static StateBinding of(Manifest manifest, Patch patch) {
        return new StateBinding(
                manifest,
                digest(Arrays.asList("task", manifest.modelId, patch.task, patch.sha256)),
                digest(patch.ids),
                patch.ids.size());
    }

    private static String digest(Object value) {
        byte[] text = Json.canonical(value).getBytes(java.nio.charset.StandardCharsets.US_ASCII);
        return Storage.hex(Storage.sha256().digest(text));
    }
}
