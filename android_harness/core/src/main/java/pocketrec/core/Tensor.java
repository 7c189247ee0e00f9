// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;

/** An array of a tensor file: its type by safetensors name, shape, and little-endian content. */
final class Tensor {
    /** F64, F32, I32, U8 and so on. */
    final String dtype;

    /** Sizes of its dimensions. */
    final int[] shape;

    private final ByteBuffer data;

    Tensor(String dtype, int[] shape, ByteBuffer data) {
        this.dtype = dtype;
        this.shape = shape;
        this.data = data.slice().order(ByteOrder.LITTLE_ENDIAN);
    }

    static Tensor of(int[] values) {
        ByteBuffer data = allocate(4 * values.length);
        data.asIntBuffer().put(values);
        return new Tensor("I32", new int[] {values.length}, data);
    }

    static Tensor of(double[] values) {
        ByteBuffer data = allocate(8 * values.length);
        data.asDoubleBuffer().put(values);
        return new Tensor("F64", new int[] {values.length}, data);
    }

    static Tensor of(float[] values, int[] shape) {
        ByteBuffer data = allocate(4 * values.length);
        data.asFloatBuffer().put(values);
        return new Tensor("F32", shape.clone(), data);
    }

    /** Bytes of an element; 0 for a type that safetensors does not know. */
    static int width(String dtype) {
        switch (dtype) {
            case "F64":
            case "I64":
            case "U64":
                return 8;
            case "F32":
            case "I32":
            case "U32":
                return 4;
            case "F16":
            case "I16":
            case "U16":
                return 2;
            case "I8":
            case "U8":
            case "BOOL":
                return 1;
            default:
                return 0;
        }
    }

    int elements() {
        return data.capacity() / width(dtype);
    }

    /** Its bytes, little-endian. */
    ByteBuffer bytes() {
        return data.duplicate();
    }

    /** Float32 content. */
    float[] floats() throws TensorFileException {
        require("F32");
        float[] values = new float[elements()];
        data.duplicate().order(ByteOrder.LITTLE_ENDIAN).asFloatBuffer().get(values);
        return values;
    }

    /** Content of type F16 or F32, or of a whole-number type, as float32. */
    float[] values() throws TensorFileException {
        if (dtype.equals("F32")) {
            return floats();
        }
        float[] values = new float[elements()];
        for (int place = 0; place < values.length; place++) {
            values[place] =
                    dtype.equals("F16") ? half(data.getShort(2 * place)) : (float) whole(place);
        }
        return values;
    }

    /** The number that 16 bits of IEEE 754 stand for. */
    static float half(short bits) {
        int exponent = bits >> 10 & 31;
        int fraction = bits & 1023;
        float sign = bits < 0 ? -1f : 1f;
        if (exponent == 31) {
            return fraction == 0 ? sign * Float.POSITIVE_INFINITY : Float.NaN;
        }
        return exponent == 0
                ? sign * fraction * 0x1p-24f
                : sign * (1024 + fraction) * (float) Math.pow(2, exponent - 25);
    }

    /** Float64 content. */
    double[] doubles() throws TensorFileException {
        require("F64");
        double[] values = new double[elements()];
        data.duplicate().order(ByteOrder.LITTLE_ENDIAN).asDoubleBuffer().get(values);
        return values;
    }

    /** Content of any whole-number type, as far as it fits 32 bits. */
    int[] ints(int start, int count) throws TensorFileException {
        int[] values = new int[count];
        for (int place = 0; place < count; place++) {
            values[place] = whole(start + place);
        }
        return values;
    }

    private int whole(int place) throws TensorFileException {
        switch (dtype) {
            case "U8":
                return data.get(place) & 0xff;
            case "I8":
                return data.get(place);
            case "U16":
                return data.getShort(2 * place) & 0xffff;
            case "I16":
                return data.getShort(2 * place);
            case "I32":
                return data.getInt(4 * place);
            case "U32":
                if (data.getInt(4 * place) < 0) {
                    throw new TensorFileException("a number is beyond 31 bits");
                }
                return data.getInt(4 * place);
            default:
                throw new TensorFileException(
                        "a tensor is of type " + dtype + " where whole numbers are expected");
        }
    }

    private void require(String wanted) throws TensorFileException {
        if (!dtype.equals(wanted)) {
            throw new TensorFileException("a tensor is of type " + dtype + " and not " + wanted);
        }
    }

    private static ByteBuffer allocate(int bytes) {
        return ByteBuffer.allocate(bytes).order(ByteOrder.LITTLE_ENDIAN);
    }

    @Override
    public String toString() {
        return dtype + " " + Arrays.toString(shape);
    }
}
