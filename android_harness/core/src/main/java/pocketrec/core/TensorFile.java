// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Named arrays and a little text in one file: the safetensors layout, with a checksum.
 *
 * <p>The very format of device/contract/tensorfile.py: an unsigned 64-bit little-endian length, a
 * JSON header of that many bytes, and the arrays' raw little-endian bytes. {@code
 * __metadata__.sha256} is the SHA-256 of the whole file with these 64 digits taken as zeros. This
 * class does not know what the arrays mean.
 */
final class TensorFile {
    /** Bytes 8 to 34 of every tensor file with a checksum; 64 digits follow. */
    static final byte[] MARK =
            "{\"__metadata__\":{\"sha256\":\"".getBytes(StandardCharsets.US_ASCII);

    private static final byte[] ZEROS = zeros();
    private static final int DIGITS_AT = 8 + MARK.length;

    /** Arrays by name, in the order written. */
    final Map<String, Tensor> tensors;

    /** Text by name, without the checksum. */
    final Map<String, String> metadata;

    TensorFile(Map<String, Tensor> tensors, Map<String, String> metadata) {
        this.tensors = tensors;
        this.metadata = metadata;
    }

    /** Reads a tensor file and checks it. */
    static TensorFile load(File path) throws IOException, TensorFileException {
        return parse(Storage.read(path));
    }

    /** The bytes of the file; equal content gives equal bytes. */
    byte[] dump() {
        Map<String, Object> texts = new LinkedHashMap<>();
        texts.put("sha256", new String(ZEROS, StandardCharsets.US_ASCII));
        texts.putAll(metadata);
        Map<String, Object> header = new LinkedHashMap<>();
        header.put("__metadata__", texts);
        ByteArrayOutputStream data = new ByteArrayOutputStream();
        for (Map.Entry<String, Tensor> entry : tensors.entrySet()) {
            Tensor tensor = entry.getValue();
            byte[] bytes = new byte[tensor.bytes().remaining()];
            tensor.bytes().get(bytes);
            long start = data.size();
            data.write(bytes, 0, bytes.length);
            List<Object> shape = new ArrayList<>();
            for (int size : tensor.shape) {
                shape.add(size);
            }
            Map<String, Object> one = new LinkedHashMap<>();
            one.put("dtype", tensor.dtype);
            one.put("shape", shape);
            one.put("data_offsets", Arrays.asList(start, (long) data.size()));
            header.put(entry.getKey(), one);
        }
        byte[] text = Json.compact(header).getBytes(StandardCharsets.US_ASCII);
        int length = (text.length + 7) / 8 * 8; // safetensors aligns the data to eight bytes
        ByteBuffer whole =
                ByteBuffer.allocate(8 + length + data.size()).order(ByteOrder.LITTLE_ENDIAN);
        whole.putLong(length).put(text);
        while (whole.position() < 8 + length) {
            whole.put((byte) ' ');
        }
        whole.put(data.toByteArray());
        byte[] content = whole.array();
        byte[] digest =
                Storage.hex(Storage.sha256().digest(content)).getBytes(StandardCharsets.US_ASCII);
        System.arraycopy(digest, 0, content, DIGITS_AT, digest.length);
        return content;
    }

    /** The inverse of {@link #dump}. */
    static TensorFile parse(byte[] content) throws TensorFileException {
        if (content.length < 8) {
            throw new TensorFileException("it is cut short");
        }
        long length = ByteBuffer.wrap(content).order(ByteOrder.LITTLE_ENDIAN).getLong();
        if (length < 0 || length > content.length - 8) {
            throw new TensorFileException("it is cut short or not a tensor file");
        }
        if (content.length < DIGITS_AT + 64
                || !Arrays.equals(Arrays.copyOfRange(content, 8, DIGITS_AT), MARK)) {
            throw new TensorFileException("it is not a tensor file with a checksum");
        }
        MessageDigest digest = Storage.sha256();
        digest.update(content, 0, DIGITS_AT);
        digest.update(ZEROS);
        digest.update(content, DIGITS_AT + 64, content.length - DIGITS_AT - 64);
        String found = new String(content, DIGITS_AT, 64, StandardCharsets.ISO_8859_1);
        if (!found.equals(Storage.hex(digest.digest()))) {
            throw new TensorFileException(
                    "its checksum does not match: it is cut short or altered");
        }
        try {
            return header(content, (int) length);
        } catch (JsonException error) {
            throw new TensorFileException("its header is wrong (" + error.getMessage() + ")");
        }
    }

    private static TensorFile header(byte[] content, int length) throws JsonException {
        Table header =
                Table.of(Json.parse(Arrays.copyOfRange(content, 8, 8 + length)), "the header");
        Table texts = header.table("__metadata__");
        Map<String, String> metadata = new LinkedHashMap<>();
        for (String name : texts.names()) {
            metadata.put(name, texts.text(name));
        }
        metadata.remove("sha256");
        ByteBuffer data = ByteBuffer.wrap(content, 8 + length, content.length - 8 - length).slice();
        Map<String, Tensor> tensors = new LinkedHashMap<>();
        for (String name : header.names()) {
            if (!name.equals("__metadata__")) {
                tensors.put(name, tensor(data, header.table(name)));
            }
        }
        return new TensorFile(tensors, metadata);
    }

    private static Tensor tensor(ByteBuffer data, Table entry) throws JsonException {
        String dtype = entry.text("dtype");
        List<?> sizes = entry.list("shape");
        List<?> offsets = entry.list("data_offsets");
        int[] shape = new int[sizes.size()];
        long bytes = Tensor.width(dtype);
        for (int place = 0; place < shape.length; place++) {
            shape[place] = (int) whole(sizes.get(place), Integer.MAX_VALUE);
            bytes = Math.min(bytes * shape[place], Integer.MAX_VALUE);
        }
        if (offsets.size() != 2 || Tensor.width(dtype) == 0) {
            throw new JsonException("an entry has no known dtype or no two offsets");
        }
        long start = whole(offsets.get(0), data.capacity());
        long end = whole(offsets.get(1), data.capacity());
        if (end - start != bytes) {
            throw new JsonException("offsets do not fit the shape");
        }
        ByteBuffer part = data.duplicate();
        part.limit((int) end).position((int) start);
        return new Tensor(dtype, shape, part);
    }

    private static long whole(Object value, long most) throws JsonException {
        if (!(value instanceof Long) || (Long) value < 0 || (Long) value > most) {
            throw new JsonException("a size or an offset is out of range");
        }
        return (Long) value;
    }

    private static byte[] zeros() {
        byte[] zeros = new byte[64];
        Arrays.fill(zeros, (byte) '0');
        return zeros;
    }
}
