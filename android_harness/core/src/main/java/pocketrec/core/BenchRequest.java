// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.nio.charset.StandardCharsets;
import java.util.Map;
import java.util.function.Supplier;

/**
 * A benchmark that another program asks for, and its answer: one of two files in a folder that this
 * program reads.
 *
 * <p>{@code bench-ID.json} is the result, {@code bench-ID.error} one line that says what to do;
 * each appears whole or not at all. Knows nothing about what carries the request.
 */
public final class BenchRequest {
    /** Names the answer: 1 to 40 of A-Z, a-z, 0-9 and "-". */
    public final String id;

    private final File archive;
    private final int runs;
    private final int threads;

    /**
     * Takes a request.
     *
     * @param id names the answer
     * @param archive the .zip of a bundle
     * @param runs calls of each kind
     * @param threads threads of the runtime's kernels
     * @throws DataException a value is out of range; nothing can be answered under such an id
     */
    public BenchRequest(String id, File archive, int runs, int threads) throws DataException {
        if (id == null || !id.matches("[A-Za-z0-9-]{1,40}")) {
            throw new DataException(
                    "'" + id + "' names no request: use up to 40 letters, digits and '-'");
        }
        this.id = id;
        this.archive = archive;
        this.runs = runs;
        this.threads = threads;
    }

    /**
     * Unpacks the bundle into {@code scratch}, measures, and leaves nothing of it there.
     *
     * @param tables further tables of the result, asked for while the model is open
     * @throws PocketRecException the archive is not a good bundle, the storage is full, a number is
     *     out of range, or it was cancelled
     */
    public Map<String, Object> measure(
            File scratch,
            ModelRuntime runtime,
            Cancellation cancellation,
            Supplier<Map<String, Object>> tables)
            throws PocketRecException {
        if (runs < 1 || threads < 1) {
            throw new DataException(
                    "runs and threads must be at least 1, not "
                            + runs
                            + " and "
                            + threads
                            + ": give larger numbers");
        }
        if (!archive.isFile()) {
            throw new BundleException(
                    "no file " + archive + " can be read here: push the .zip of a bundle first");
        }
        File folder = new File(scratch, "bench-" + id);
        try {
            Bundle.unpack(archive, folder);
            return Bench.run(Bundle.open(folder), runtime, threads, runs, 1, cancellation, tables);
        } finally {
            Storage.delete(folder);
        }
    }

    /**
     * Writes the result into {@code folder}.
     *
     * @throws StorageException full storage, or no permission
     */
    public File succeed(File folder, Map<String, Object> result) throws StorageException {
        return write(new File(folder, "bench-" + id + ".json"), Json.write(result));
    }

    /**
     * Writes why there is no result into {@code folder}.
     *
     * @throws StorageException full storage, or no permission
     */
    public File fail(File folder, String message) throws StorageException {
        return write(new File(folder, "bench-" + id + ".error"), message.replaceAll("\\s+", " "));
    }

    private static File write(File file, String content) throws StorageException {
        Storage.writeAtomic(file, content.getBytes(StandardCharsets.UTF_8), null);
        return file;
    }
}
