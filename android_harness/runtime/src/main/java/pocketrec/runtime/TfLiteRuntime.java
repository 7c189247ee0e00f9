// SPDX-License-Identifier: Apache-2.0
package pocketrec.runtime;

import org.tensorflow.lite.TensorFlowLite;

import pocketrec.core.BundleException;
import pocketrec.core.Interpreter;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.RuntimeMissingException;

import java.io.File;

/**
 * The TensorFlow Lite or LiteRT (the same Java interface) that is packed into the app.
 *
 * <p>TensorFlow Lite 2.16.1 is aligned to pages of 4 KB: on a device with pages of 16 KB it does
 * not load, and {@link #open} says so.
 */
public final class TfLiteRuntime implements ModelRuntime {
    private final String name;
    private final boolean xnnpack;

    /** TensorFlow Lite, which lets XNNPACK run what it can. */
    public TfLiteRuntime() {
        this("tensorflow_lite", true);
    }

    /**
     * @param name what results call it: tensorflow_lite, or litert where that is packed
     * @param xnnpack let XNNPACK run what it can; otherwise the built-in kernels run all
     */
    public TfLiteRuntime(String name, boolean xnnpack) {
        this.name = name;
        this.xnnpack = xnnpack;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String version() {
        try {
            return TensorFlowLite.runtimeVersion();
        } catch (UnsatisfiedLinkError error) {
            return "unknown";
        }
    }

    @Override
    public Interpreter open(File model, int threads) throws PocketRecException {
        try {
            TensorFlowLite.init();
        } catch (UnsatisfiedLinkError error) {
            throw new RuntimeMissingException(
                    "TensorFlow Lite does not load here ("
                            + TfLiteInterpreter.line(error)
                            + "): install an APK for this device's processor and page size",
                    error);
        }
        try {
            return new TfLiteInterpreter(model, threads, xnnpack);
        } catch (IllegalArgumentException | IllegalStateException error) {
            throw new BundleException(
                    model
                            + ": TensorFlow Lite cannot read it ("
                            + TfLiteInterpreter.line(error)
                            + "): fetch or export the bundle again",
                    error);
        }
    }
}
