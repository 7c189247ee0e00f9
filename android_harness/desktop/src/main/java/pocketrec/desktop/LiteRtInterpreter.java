// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import com.sun.jna.Memory;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;

import pocketrec.core.BundleException;
import pocketrec.core.Interpreter;
import pocketrec.core.PocketRecException;
import pocketrec.core.SignatureRunner;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * A model file in LiteRT: environment, model, and the model compiled for the CPU (XNNPACK and the
 * built-in kernels).
 */
final class LiteRtInterpreter implements Interpreter {
    private static final LiteRt.Destructor KEEP = payload -> {}; // Java owns the payload

    private final File path;
    private final Map<String, Long> indices = new LinkedHashMap<>();
    private final List<LiteRtSignature> opened = new ArrayList<>();
    private Pointer environment;
    private Pointer model;
    private Pointer compiled;

    LiteRtInterpreter(File path, int threads) throws PocketRecException {
        this.path = path;
        boolean good = false;
        try {
            environment = environment();
            PointerByReference made = new PointerByReference();
            String name = path.getAbsolutePath();
            check(
                    LiteRt.LiteRtCreateModelFromFile(environment, name, made),
                    "cannot read the file");
            model = made.getValue();
            LongByReference count = new LongByReference();
            check(LiteRt.LiteRtGetNumModelSignatures(model, count), "cannot list the signatures");
            for (long index = 0; index < count.getValue(); index++) {
                check(
                        LiteRt.LiteRtGetSignatureKey(signature(index), made),
                        "cannot name a signature");
                indices.put(made.getValue().getString(0, "UTF-8"), index);
            }
            compiled = compile(threads);
            good = true;
        } finally {
            if (!good) {
                close();
            }
        }
    }

    @Override
    public Set<String> signatures() {
        return Collections.unmodifiableSet(indices.keySet());
    }

    @Override
    public SignatureRunner signature(String name) throws PocketRecException {
        Long index = indices.get(name);
        if (index == null) {
            throw new BundleException(
                    path + " has no signature '" + name + "': export the model again");
        }
        LiteRtSignature made = new LiteRtSignature(this, name, index);
        opened.add(made);
        return made;
    }

    @Override
    public void close() {
        for (LiteRtSignature one : opened) {
            one.close();
        }
        opened.clear();
        if (compiled != null) {
            LiteRt.LiteRtDestroyCompiledModel(compiled);
        }
        if (model != null) {
            LiteRt.LiteRtDestroyModel(model);
        }
        if (environment != null) {
            LiteRt.LiteRtDestroyEnvironment(environment);
        }
        compiled = model = environment = null;
    }

    Pointer compiled() {
        return compiled;
    }

    /** LiteRT's object for a signature. */
    Pointer signature(long index) throws BundleException {
        PointerByReference found = new PointerByReference();
        check(LiteRt.LiteRtGetModelSignature(model, index, found), "cannot open a signature");
        return found.getValue();
    }

    /** Turns a status that is not 0 into an exception. */
    void check(int status, String what) throws BundleException {
        if (status != 0) {
            throw new BundleException(
                    path
                            + ": LiteRT "
                            + what
                            + " (status "
                            + status
                            + "): fetch or export the bundle again, for this version of LiteRT");
        }
    }

    /** An environment that logs errors only. */
    private Pointer environment() throws BundleException {
        Memory option = new Memory(24); // tag, padding, type of the value, padding, the value
        option.clear();
        option.setInt(0, LiteRt.OPTION_MIN_LOGGER_SEVERITY);
        option.setInt(8, LiteRt.ANY_INT);
        option.setLong(16, LiteRt.SEVERITY_ERROR);
        PointerByReference made = new PointerByReference();
        check(LiteRt.LiteRtCreateEnvironment(1, option, made), "cannot start");
        return made.getValue();
    }

    private Pointer compile(int threads) throws BundleException {
        PointerByReference made = new PointerByReference();
        check(LiteRt.LiteRtCreateOptions(made), "cannot take options");
        Pointer options = made.getValue();
        try {
            check(
                    LiteRt.LiteRtSetOptionsHardwareAccelerators(options, LiteRt.HW_CPU),
                    "cannot choose the CPU");
            byte[] text = ("num_threads = " + threads + "\n").getBytes(StandardCharsets.US_ASCII);
            Memory payload = new Memory(text.length + 1L);
            payload.clear();
            payload.write(0, text, 0, text.length);
            check(
                    LiteRt.LiteRtCreateOpaqueOptions("xnnpack", payload, KEEP, made),
                    "cannot take the number of threads");
            check(
                    LiteRt.LiteRtAddOpaqueOptions(options, made.getValue()),
                    "cannot take the number of threads");
            check(
                    LiteRt.LiteRtCreateCompiledModel(environment, model, options, made),
                    "cannot prepare the model");
            Pointer result = made.getValue();
            payload.close(); // not before: LiteRT reads it while it prepares the model
            return result;
        } finally {
            LiteRt.LiteRtDestroyOptions(options);
        }
    }
}
