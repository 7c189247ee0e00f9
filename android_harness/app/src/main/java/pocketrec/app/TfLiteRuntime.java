package pocketrec.app;

import org.tensorflow.lite.TensorFlowLite;

import pocketrec.core.BundleException;
import pocketrec.core.Interpreter;
import pocketrec.core.ModelRuntime;
import pocketrec.core.PocketRecException;
import pocketrec.core.RuntimeMissingException;

import java.io.File;

/** The TensorFlow Lite or LiteRT (the same Java interface) that is packed into the app. */
final class TfLiteRuntime implements ModelRuntime {
    private final boolean xnnpack;

    /**
     * @param xnnpack let XNNPACK run what it can; otherwise the built-in kernels run all
     */
    TfLiteRuntime(boolean xnnpack) {
        this.xnnpack = xnnpack;
    }

    @Override
    public String name() {
        return BuildConfig.RUNTIME;
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
