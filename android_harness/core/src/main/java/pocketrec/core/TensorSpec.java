// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.util.Arrays;

/** Name, type and static shape of one input or output of a signature. */
public final class TensorSpec {
    /** Its name in the signature. */
    public final String name;

    /** Element type as in the manifest, such as int32 or float32. */
    public final String dtype;

    private final int[] shape;

    /**
     * @param name its name in the signature
     * @param dtype element type, such as int32 or float32
     * @param shape its sizes; empty = a scalar
     */
    public TensorSpec(String name, String dtype, int... shape) {
        this.name = name;
        this.dtype = dtype;
        this.shape = shape.clone();
    }

    /** Sizes of its dimensions. */
    public int[] shape() {
        return shape.clone();
    }

    /** Number of its elements; 1 for a scalar. */
    public int elements() {
        int elements = 1;
        for (int size : shape) {
            elements = Math.multiplyExact(elements, size);
        }
        return elements;
    }

    boolean is(String wantedType, int... wantedShape) {
        return dtype.equals(wantedType) && Arrays.equals(shape, wantedShape);
    }

    @Override
    public String toString() {
        return dtype + " " + Arrays.toString(shape);
    }
}
