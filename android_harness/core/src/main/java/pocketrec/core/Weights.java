// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Collections;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;

/** Trainable tensors and optimiser slots by name, float32; never changed once made. */
public final class Weights {
    private final Map<String, float[]> values;

    /**
     * @param values elements of each tensor, row-major; the arrays are kept, not copied, and must
     *     not be changed
     */
    Weights(Map<String, float[]> values) {
        this.values = Collections.unmodifiableMap(new TreeMap<>(values));
    }

    /** Names of the tensors, sorted. */
    public Set<String> names() {
        return values.keySet();
    }

    /** A copy of the elements of a tensor, row-major; null where there is none of that name. */
    public float[] get(String name) {
        float[] value = values.get(name);
        return value == null ? null : value.clone();
    }

    /** Without copying, for reading. */
    float[] raw(String name) {
        return values.get(name);
    }

    /** Whether every number of every tensor is finite. */
    public boolean finite() {
        for (float[] value : values.values()) {
            for (float one : value) {
                if (Float.isNaN(one) || Float.isInfinite(one)) {
                    return false;
                }
            }
        }
        return true;
    }

    /** reference + share * (personal - reference), tensor by tensor; exact at share 0 and 1. */
    static Weights blend(Weights reference, Weights personal, double share) {
        if (share == 1.0) {
            return personal;
        }
        Map<String, float[]> blended = new TreeMap<>();
        for (Map.Entry<String, float[]> entry : reference.values.entrySet()) {
            float[] from = entry.getValue();
            float[] to = personal.values.get(entry.getKey());
            float[] between = new float[from.length];
            for (int place = 0; place < from.length; place++) {
                between[place] = from[place] + (float) share * (to[place] - from[place]);
            }
            blended.put(entry.getKey(), between);
        }
        return new Weights(blended);
    }
}
