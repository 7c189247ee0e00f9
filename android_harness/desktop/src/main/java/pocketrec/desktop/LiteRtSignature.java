// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import com.sun.jna.Memory;
import com.sun.jna.Native;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;

import pocketrec.core.BundleException;
import pocketrec.core.PocketRecException;
import pocketrec.core.SignatureRunner;
import pocketrec.core.TensorSpec;

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One signature in LiteRT, with host memory for each of its tensors that both sides share: nothing
 * is copied.
 */
final class LiteRtSignature implements SignatureRunner {
    private final LiteRtInterpreter interpreter;
    private final String name;
    private final long index;
    private final Side inputs;
    private final Side outputs;

    LiteRtSignature(LiteRtInterpreter interpreter, String name, long index)
            throws PocketRecException {
        this.interpreter = interpreter;
        this.name = name;
        this.index = index;
        inputs = new Side();
        outputs = new Side();
        boolean good = false;
        try {
            Pointer signature = interpreter.signature(index);
            inputs.open(
                    signature,
                    LiteRt::LiteRtGetNumSignatureInputs,
                    LiteRt::LiteRtGetSignatureInputName,
                    LiteRt::LiteRtGetSignatureInputTensorByIndex);
            outputs.open(
                    signature,
                    LiteRt::LiteRtGetNumSignatureOutputs,
                    LiteRt::LiteRtGetSignatureOutputName,
                    LiteRt::LiteRtGetSignatureOutputTensorByIndex);
            good = true;
        } finally {
            if (!good) {
                close();
            }
        }
    }

    @Override
    public List<TensorSpec> inputs() {
        return inputs.listed;
    }

    @Override
    public List<TensorSpec> outputs() {
        return outputs.listed;
    }

    @Override
    public ByteBuffer input(String name) {
        return inputs.buffer(name);
    }

    @Override
    public ByteBuffer output(String name) {
        return outputs.buffer(name);
    }

    @Override
    public void run() throws PocketRecException {
        interpreter.check(
                LiteRt.LiteRtRunCompiledModel(
                        interpreter.compiled(),
                        index,
                        inputs.specs.size(),
                        inputs.handles,
                        outputs.specs.size(),
                        outputs.handles),
                "cannot run " + name);
    }

    void close() {
        inputs.close();
        outputs.close();
    }

    /** The inputs, or the outputs. */
    private final class Side {
        private final List<TensorSpec> specs = new ArrayList<>();
        private final List<TensorSpec> listed = Collections.unmodifiableList(specs);
        private final Map<String, ByteBuffer> buffers = new HashMap<>();
        private final List<Memory> memory = new ArrayList<>(); // freed when this object goes
        private final List<Pointer> made = new ArrayList<>();
        private Pointer handles;

        void open(Pointer signature, Count count, Get nameOf, Get tensorOf) throws BundleException {
            LongByReference number = new LongByReference();
            interpreter.check(count.of(signature, number), "cannot open " + name);
            PointerByReference found = new PointerByReference();
            for (long place = 0; place < number.getValue(); place++) {
                interpreter.check(nameOf.at(signature, place, found), "cannot open " + name);
                String tensor = found.getValue().getString(0, "UTF-8");
                interpreter.check(tensorOf.at(signature, place, found), "cannot open " + name);
                Memory type = new Memory(LiteRt.RANKED_TENSOR_TYPE_BYTES);
                interpreter.check(
                        LiteRt.LiteRtGetRankedTensorType(found.getValue(), type),
                        "cannot open " + name);
                TensorSpec spec = spec(tensor, type);
                specs.add(spec);
                allocate(spec, type);
            }
            Memory list = new Memory((long) Native.POINTER_SIZE * Math.max(1, made.size()));
            for (int place = 0; place < made.size(); place++) {
                list.setPointer((long) Native.POINTER_SIZE * place, made.get(place));
            }
            handles = list;
        }

        ByteBuffer buffer(String tensor) {
            return buffers.get(tensor);
        }

        void close() {
            for (Pointer one : made) {
                LiteRt.LiteRtDestroyTensorBuffer(one);
            }
            made.clear();
        }

        private void allocate(TensorSpec spec, Memory type) throws BundleException {
            long bytes = 4L * spec.elements();
            // Kernels may read up to 128 bytes past the end.
            Memory whole = new Memory(bytes + 128 + LiteRt.ALIGNMENT);
            whole.clear();
            Memory aligned = whole.align(LiteRt.ALIGNMENT);
            memory.add(whole);
            PointerByReference buffer = new PointerByReference();
            interpreter.check(
                    LiteRt.LiteRtCreateTensorBufferFromHostMemory(
                            type, aligned, bytes, null, buffer),
                    "cannot allocate " + spec.name + " of " + name);
            made.add(buffer.getValue());
            buffers.put(spec.name, aligned.getByteBuffer(0, bytes).order(ByteOrder.nativeOrder()));
        }
    }

    private static TensorSpec spec(String name, Memory type) {
        int element = type.getInt(0);
        int[] shape = new int[type.getInt(4) & 0x7f];
        for (int place = 0; place < shape.length; place++) {
            shape[place] = type.getInt(8 + 4L * place);
        }
        String dtype =
                element == 1 ? "float32" : element == 2 ? "int32" : "element type " + element;
        return new TensorSpec(name, dtype, shape);
    }

    private interface Count {
        int of(Pointer signature, LongByReference count);
    }

    private interface Get {
        int at(Pointer signature, long place, PointerByReference found);
    }
}
