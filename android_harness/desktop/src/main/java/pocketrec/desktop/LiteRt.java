// SPDX-License-Identifier: Apache-2.0
package pocketrec.desktop;

import com.sun.jna.Callback;
import com.sun.jna.Native;
import com.sun.jna.NativeLibrary;
import com.sun.jna.Pointer;
import com.sun.jna.ptr.LongByReference;
import com.sun.jna.ptr.PointerByReference;

import java.io.File;
import java.util.Collections;

/**
 * The functions of LiteRT's C API that the harness calls, under their own names; {@code size_t} is
 * {@code long}, so a 64-bit system is needed. Every function returns a status, 0 = good. Written
 * after litert/c/*.h of LiteRT 2.
 */
final class LiteRt {
    /** litert_common.h: compile for the CPU. */
    static final int HW_CPU = 1;

    /** litert_environment_options.h: least severity of the log. */
    static final int OPTION_MIN_LOGGER_SEVERITY = 25;

    /** litert_environment_options.h: accelerators are looked for by themselves. */
    static final int SEVERITY_ERROR = 3;

    /** litert_any.h. */
    static final int ANY_INT = 2;

    /** Bytes of LiteRtRankedTensorType: element type, rank, eight sizes, eight strides. */
    static final int RANKED_TENSOR_TYPE_BYTES = 72;

    /** litert_tensor_buffer_types.h: alignment of host memory. */
    static final int ALIGNMENT = 64;

    private LiteRt() {}

    /** Binds the functions to a library; to be called once, before any of them. */
    static void bind(File library) {
        Native.register(
                LiteRt.class,
                NativeLibrary.getInstance(
                        library.getAbsolutePath(), Collections.<String, Object>emptyMap()));
    }

    static native int LiteRtCreateEnvironment(
            int count, Pointer options, PointerByReference environment);

    static native void LiteRtDestroyEnvironment(Pointer environment);

    static native int LiteRtCreateModelFromFile(
            Pointer environment, String path, PointerByReference model);

    static native void LiteRtDestroyModel(Pointer model);

    static native int LiteRtGetNumModelSignatures(Pointer model, LongByReference count);

    static native int LiteRtGetModelSignature(
            Pointer model, long index, PointerByReference signature);

    static native int LiteRtGetSignatureKey(Pointer signature, PointerByReference key);

    static native int LiteRtGetNumSignatureInputs(Pointer signature, LongByReference count);

    static native int LiteRtGetSignatureInputName(
            Pointer signature, long index, PointerByReference name);

    static native int LiteRtGetSignatureInputTensorByIndex(
            Pointer signature, long index, PointerByReference tensor);

    static native int LiteRtGetNumSignatureOutputs(Pointer signature, LongByReference count);

    static native int LiteRtGetSignatureOutputName(
            Pointer signature, long index, PointerByReference name);

    static native int LiteRtGetSignatureOutputTensorByIndex(
            Pointer signature, long index, PointerByReference tensor);

    static native int LiteRtGetRankedTensorType(Pointer tensor, Pointer type);

    static native int LiteRtCreateOptions(PointerByReference options);

    static native void LiteRtDestroyOptions(Pointer options);

    static native int LiteRtSetOptionsHardwareAccelerators(Pointer options, int accelerators);

    static native int LiteRtCreateOpaqueOptions(
            String identifier, Pointer payload, Destructor destructor, PointerByReference options);

    static native int LiteRtAddOpaqueOptions(Pointer options, Pointer opaque);

    static native int LiteRtCreateCompiledModel(
            Pointer environment, Pointer model, Pointer options, PointerByReference compiled);

    static native void LiteRtDestroyCompiledModel(Pointer compiled);

    static native int LiteRtCreateTensorBufferFromHostMemory(
            Pointer type,
            Pointer memory,
            long bytes,
            Pointer deallocator,
            PointerByReference buffer);

    static native void LiteRtDestroyTensorBuffer(Pointer buffer);

    static native int LiteRtRunCompiledModel(
            Pointer compiled,
            long signature,
            long inputs,
            Pointer inputBuffers,
            long outputs,
            Pointer outputBuffers);

    /** Called by LiteRT when it gives a payload back. */
    interface Destructor extends Callback {
        /**
         * @param payload what was given to LiteRtCreateOpaqueOptions
         */
        void invoke(Pointer payload);
    }
}
