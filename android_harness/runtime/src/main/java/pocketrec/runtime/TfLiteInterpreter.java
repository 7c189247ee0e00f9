// SPDX-License-Identifier: Apache-2.0
package pocketrec.runtime;

import org.tensorflow.lite.Tensor;

import pocketrec.core.BundleException;
import pocketrec.core.Interpreter;
import pocketrec.core.PocketRecException;
import pocketrec.core.SignatureRunner;
import pocketrec.core.TensorSpec;

import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.HashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;

/** A model file in TensorFlow Lite's interpreter. */
final class TfLiteInterpreter implements Interpreter {
    private final org.tensorflow.lite.Interpreter interpreter;

    TfLiteInterpreter(File model, int threads, boolean xnnpack) {
        org.tensorflow.lite.Interpreter.Options options =
                new org.tensorflow.lite.Interpreter.Options()
                        .setNumThreads(threads)
                        .setUseXNNPACK(xnnpack);
        interpreter = new org.tensorflow.lite.Interpreter(model, options);
    }

    @Override
    public Set<String> signatures() {
        return new LinkedHashSet<>(Arrays.asList(interpreter.getSignatureKeys()));
    }

    @Override
    public SignatureRunner signature(String name) {
        return new Runner(name);
    }

    @Override
    public void close() {
        interpreter.close();
    }

    /** What a runtime's error says, on one line. */
    static String line(Throwable error) {
        return String.valueOf(error.getMessage()).replaceAll("\\s+", " ").trim();
    }

    /** One signature, with direct buffers that stay the same ones. */
    private final class Runner implements SignatureRunner {
        private final String name;
        private final List<TensorSpec> inputs = new ArrayList<>();
        private final List<TensorSpec> outputs = new ArrayList<>();
        private final Map<String, Object> given = new HashMap<>();
        private final Map<String, Object> taken = new HashMap<>();

        Runner(String name) {
            this.name = name;
            for (String input : interpreter.getSignatureInputs(name)) {
                Tensor tensor = interpreter.getInputTensorFromSignature(input, name);
                TensorSpec spec = spec(input, tensor);
                inputs.add(spec);
                given.put(input, buffer(spec));
            }
            for (String output : interpreter.getSignatureOutputs(name)) {
                Tensor tensor = interpreter.getOutputTensorFromSignature(output, name);
                TensorSpec spec = spec(output, tensor);
                outputs.add(spec);
                taken.put(output, buffer(spec));
            }
        }

        @Override
        public List<TensorSpec> inputs() {
            return Collections.unmodifiableList(inputs);
        }

        @Override
        public List<TensorSpec> outputs() {
            return Collections.unmodifiableList(outputs);
        }

        @Override
        public ByteBuffer input(String tensor) {
            return (ByteBuffer) given.get(tensor);
        }

        @Override
        public ByteBuffer output(String tensor) {
            return (ByteBuffer) taken.get(tensor);
        }

        @Override
        public void run() throws PocketRecException {
            rewind(given);
            rewind(taken);
            try {
                interpreter.runSignature(given, taken, name);
            } catch (IllegalArgumentException | IllegalStateException error) {
                throw new BundleException(
                        "TensorFlow Lite cannot run "
                                + name
                                + " ("
                                + line(error)
                                + "): fetch or export the bundle again",
                        error);
            } finally {
                rewind(taken);
            }
        }

        private void rewind(Map<String, Object> buffers) {
            for (Object buffer : buffers.values()) {
                ((ByteBuffer) buffer).rewind();
            }
        }
    }

    private static TensorSpec spec(String name, Tensor tensor) {
        return new TensorSpec(
                name, tensor.dataType().name().toLowerCase(Locale.ROOT), tensor.shape());
    }

    private static ByteBuffer buffer(TensorSpec spec) {
        return ByteBuffer.allocateDirect(4 * spec.elements()).order(ByteOrder.nativeOrder());
    }
}
