// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.ByteArrayOutputStream;
import java.io.File;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.zip.DataFormatException;
import java.util.zip.Inflater;

/**
 * A packed bundle: the model file made from its skeleton and weights, once, and checked. The
 * formats are those of device/contract/packed.py; what comes out is the exporter's file to the last
 * byte, or nothing.
 */
final class Packed {
    private static final String MARKER =
            ".installed.java"; // time of a model file whose hash was found right
    private static final String ITEM_TABLE = "item_embedding"; // its name among the tensors
    private static final String AGAIN = ": fetch or export the bundle again";

    /** A weight tensor: value = number * scale. */
    private final Tensor numbers; // dense, its first axes flat

    private final int[] shape;
    private final float[] scales; // null = the numbers are the values
    private final int[] scaleShape; // as long as shape

    private Packed(Tensor numbers, int[] shape, float[] scales, int[] scaleShape) {
        this.numbers = numbers;
        this.shape = shape;
        this.scales = scales;
        this.scaleShape = scaleShape;
    }

    /**
     * Makes the model file of a packed bundle where it is not there, whole; does nothing for
     * another bundle.
     */
    static void install(File folder, Manifest manifest) throws PocketRecException {
        File model = new File(folder, Contract.MODEL_FILE);
        if (manifest.packedBytes == 0 || isWhole(model, manifest)) {
            return;
        }
        byte[] content = filled(folder, manifest, null);
        if (!Storage.hex(Storage.sha256().digest(content)).equals(manifest.modelId)) {
            throw new BundleException(
                    folder
                            + ": skeleton and weights make another model than the manifest names"
                            + AGAIN);
        }
        Storage.writeAtomic(model, content, null);
        mark(model, manifest);
    }

    /**
     * Makes the model file of a lean bundle with a shard's items in its reserved rows, where it is
     * not there; gives it.
     *
     * @param shard the shard's name, whose hash the manifest lists
     */
    static File installShard(File folder, Manifest manifest, String shard, ShardItems items)
            throws PocketRecException {
        String name = shard.substring(shard.lastIndexOf('/') + 1);
        File model = new File(folder, "model." + name + ".tflite");
        File marker = new File(folder, "." + model.getName() + ".java");
        String parts = manifest.modelId + " " + manifest.files.get(shard).sha256 + " ";
        try {
            String note = parts + model.length() + " " + model.lastModified();
            if (model.isFile()
                    && note.equals(new String(Storage.read(marker), StandardCharsets.US_ASCII))) {
                return model;
            }
        } catch (IOException error) {
            // no marker: make it
        }
        Storage.writeAtomic(model, filled(folder, manifest, items), null);
        String note = parts + model.length() + " " + model.lastModified();
        Storage.writeAtomic(marker, note.getBytes(StandardCharsets.US_ASCII), null);
        return model;
    }

    /** The model file's bytes, with the items of a shard where there are any. */
    private static byte[] filled(File folder, Manifest manifest, ShardItems items)
            throws BundleException {
        try {
            return fill(
                    Storage.read(new File(folder, Contract.SKELETON_FILE)),
                    Storage.read(new File(folder, Contract.WEIGHTS_FILE)),
                    manifest,
                    items);
        } catch (IOException error) {
            throw new BundleException(
                    folder
                            + ": the packed model cannot be read ("
                            + Storage.reason(error)
                            + ")"
                            + AGAIN,
                    error);
        } catch (TensorFileException
                | JsonException
                | DataFormatException
                | RuntimeException error) {
            throw new BundleException(
                    folder
                            + ": the packed model cannot be unpacked ("
                            + error.getMessage()
                            + ")"
                            + AGAIN,
                    error);
        }
    }

    private static boolean isWhole(File model, Manifest manifest) throws BundleException {
        if (model.length() != manifest.packedBytes) {
            return false;
        }
        try {
            if (note(model, manifest)
                    .equals(new String(Storage.read(marker(model)), StandardCharsets.US_ASCII))) {
                return true;
            }
        } catch (IOException error) {
            // no marker: hash
        }
        try {
            if (!Storage.sha256(model).equals(manifest.modelId)) {
                return false;
            }
        } catch (IOException error) {
            throw new BundleException(
                    model + " cannot be read (" + Storage.reason(error) + ")" + AGAIN, error);
        }
        mark(model, manifest);
        return true;
    }

    private static void mark(File model, Manifest manifest) {
        try {
            byte[] note = note(model, manifest).getBytes(StandardCharsets.US_ASCII);
            Storage.writeAtomic(marker(model), note, null);
        } catch (StorageException error) {
            // read-only media: then every opening hashes
        }
    }

    private static File marker(File model) {
        return new File(model.getParentFile(), MARKER);
    }

    private static String note(File model, Manifest manifest) {
        return manifest.modelId + " " + model.lastModified();
    }

    /** The model file's bytes. */
    private static byte[] fill(byte[] skeleton, byte[] weights, Manifest manifest, ShardItems items)
            throws TensorFileException, JsonException, DataFormatException {
        long most = 2L * manifest.packedBytes + (1 << 20);
        ByteBuffer plain =
                ByteBuffer.wrap(inflated(skeleton, most))
                        .order(ByteOrder.LITTLE_ENDIAN);
        byte[] text = new byte[plain.getInt()];
        plain.get(text);
        Table header = Table.of(Json.parse(text), "the skeleton's header");
        byte[] content = Arrays.copyOf(words(plain.slice()), header.whole("bytes", 1));
        Map<String, Packed> tensors = decode(weights, most);
        if (items != null) {
            replaceRows(tensors.get(ITEM_TABLE), manifest.items + 1, items);
        }
        Map<String, byte[]> sources = new HashMap<>();
        for (Object one : header.list("ranges")) {
            List<?> range = (List<?>) one;
            String name = (String) range.get(2);
            byte[] source = sources.get(name);
            if (source == null) {
                source = source(tensors, name);
                sources.put(name, source);
            }
            int offset = Math.toIntExact((Long) range.get(0));
            int length = Math.toIntExact((Long) range.get(1));
            System.arraycopy(source, Math.toIntExact((Long) range.get(3)), content, offset, length);
        }
        return content;
    }

    /** Puts a shard's items into the item table, from the row {@code first} on. */
    private static void replaceRows(Packed table, int first, ShardItems items)
            throws TensorFileException {
        int width = table == null ? 0 : table.shape[1];
        if (table == null
                || table.scales == null
                || !table.numbers.dtype.equals("I8")
                || first + items.scales.length > table.shape[0]
                || table.scales.length != table.shape[0]) {
            throw new TensorFileException(
                    items.scales.length + " more rows do not fit into the item table");
        }
        ByteBuffer numbers = table.numbers.bytes();
        numbers.position(numbers.position() + first * width);
        numbers.put(items.numbers);
        System.arraycopy(items.scales, 0, table.scales, first, items.scales.length);
    }

    /**
     * Undoes the skeleton's planes and steps: four planes of bytes, low ones first, of differences
     * of 32-bit words.
     */
    private static byte[] words(ByteBuffer planes) {
        int count = planes.remaining() / 4;
        ByteBuffer words = ByteBuffer.allocate(4 * count).order(ByteOrder.LITTLE_ENDIAN);
        int word = 0;
        for (int place = 0; place < count; place++) {
            word +=
                    planes.get(place) & 0xff
                            | (planes.get(count + place) & 0xff) << 8
                            | (planes.get(2 * count + place) & 0xff) << 16
                            | planes.get(3 * count + place) << 24;
            words.putInt(word);
        }
        return words.array();
    }

    private static Map<String, Packed> decode(byte[] weights, long most)
            throws TensorFileException, JsonException, DataFormatException {
        TensorFile file = TensorFile.parse(inflated(weights, most));
        Table kinds =
                Table.of(
                        Json.parse(String.valueOf(file.metadata.get("tensors"))),
                        "the list of weights");
        Map<String, Packed> tensors = new HashMap<>();
        for (String name : kinds.names()) {
            Table kind = kinds.table(name);
            int[] shape = sizes(kind.list("shape"));
            Tensor numbers = dense(file, name, elements(shape));
            if (!kind.has("scales")) {
                tensors.put(name, new Packed(numbers, shape, null, null));
                continue;
            }
            Tensor upper = file.tensors.get(name + ":scales");
            float[] scales = new float[upper.elements()];
            for (int place = 0; place < scales.length; place++) {
                scales[place] = Float.intBitsToFloat(upper.ints(place, 1)[0] << 16);
            }
            int[] given = sizes(kind.list("scales"));
            int[] scaleShape = new int[shape.length]; // aligned to the right, as numpy broadcasts
            Arrays.fill(scaleShape, 1);
            System.arraycopy(given, 0, scaleShape, shape.length - given.length, given.length);
            tensors.put(name, new Packed(numbers, shape, scales, scaleShape));
        }
        return tensors;
    }

    /** The numbers of a tensor, those that a mask leaves out filled in as 0. */
    private static Tensor dense(TensorFile file, String name, int elements)
            throws TensorFileException {
        Tensor numbers = file.tensors.get(name + ":numbers");
        Tensor mask = file.tensors.get(name + ":mask");
        if (numbers == null || mask == null) {
            if (numbers == null || numbers.elements() != elements) {
                throw new TensorFileException("it lacks numbers of " + name);
            }
            return numbers;
        }
        if (!numbers.dtype.equals("I8")) {
            throw new TensorFileException("numbers with a mask are of type " + numbers.dtype);
        }
        ByteBuffer bits = mask.bytes();
        ByteBuffer left = numbers.bytes();
        if (elements > 8L * bits.remaining()) {
            throw new TensorFileException("the mask of " + name + " is too short");
        }
        byte[] dense = new byte[elements];
        for (int place = 0; place < elements; place++) {
            if ((bits.get(place >> 3) >> 7 - (place & 7) & 1)
                    != 0) { // the first bit is the highest
                dense[place] = left.get();
            }
        }
        return new Tensor("I8", new int[] {elements}, ByteBuffer.wrap(dense));
    }

    /**
     * Bytes that a model file holds of a tensor: NAME, NAME' (transposed), NAME:numbers or
     * NAME:scales.
     */
    private static byte[] source(Map<String, Packed> tensors, String name)
            throws TensorFileException {
        String plain = name.replaceFirst("'$|:numbers$|:scales$", "");
        Packed tensor = tensors.get(plain);
        if (tensor == null) {
            throw new TensorFileException("it lacks " + plain);
        }
        if (name.endsWith(":numbers")) {
            byte[] bytes = new byte[tensor.numbers.bytes().remaining()];
            tensor.numbers.bytes().get(bytes);
            return bytes;
        }
        float[] values = name.endsWith(":scales") ? tensor.scales : tensor.values();
        if (name.endsWith("'")) {
            values = transposed(values, tensor.shape[0], tensor.shape[1]);
        }
        ByteBuffer bytes = ByteBuffer.allocate(4 * values.length).order(ByteOrder.LITTLE_ENDIAN);
        bytes.asFloatBuffer().put(values);
        return bytes.array();
    }

    /** The tensor, float32, row-major. */
    private float[] values() throws TensorFileException {
        float[] values = numbers.values();
        if (scales == null) {
            return values;
        }
        int[] index = new int[shape.length];
        for (int place = 0; place < values.length; place++) {
            int at = 0;
            for (int axis = 0; axis < shape.length; axis++) {
                at = at * scaleShape[axis] + (scaleShape[axis] == 1 ? 0 : index[axis]);
            }
            values[place] *= scales[at];
            for (int axis = shape.length - 1; axis >= 0 && ++index[axis] == shape[axis]; axis--) {
                index[axis] = 0;
            }
        }
        return values;
    }

    private static float[] transposed(float[] values, int rows, int columns) {
        float[] turned = new float[values.length];
        for (int row = 0; row < rows; row++) {
            for (int column = 0; column < columns; column++) {
                turned[column * rows + row] = values[row * columns + column];
            }
        }
        return turned;
    }

    private static int[] sizes(List<?> list) {
        return list.stream().mapToInt(size -> Math.toIntExact((Long) size)).toArray();
    }

    private static int elements(int[] shape) {
        int elements = 1;
        for (int size : shape) {
            elements = Math.multiplyExact(elements, size);
        }
        return elements;
    }

    /** A zlib stream's content, of at most {@code most} bytes. */
    private static byte[] inflated(byte[] stream, long most) throws DataFormatException {
        Inflater inflater = new Inflater();
        try {
            inflater.setInput(stream);
            ByteArrayOutputStream content = new ByteArrayOutputStream(4 * stream.length);
            byte[] chunk = new byte[1 << 16];
            while (!inflater.finished()) {
                int length = inflater.inflate(chunk);
                if (length == 0 && !inflater.finished()) {
                    throw new DataFormatException("a stream is cut short");
                }
                content.write(chunk, 0, length);
                if (content.size() > most) {
                    throw new DataFormatException("a stream is too long");
                }
            }
            return content.toByteArray();
        } finally {
            inflater.end();
        }
    }
}
