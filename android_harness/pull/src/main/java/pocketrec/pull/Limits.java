// SPDX-License-Identifier: Apache-2.0
package pocketrec.pull;

/**
 * What a manifest may ask of the device; more is refused before anything of it is fetched. Every
 * {@code with} gives a changed copy.
 */
public final class Limits {
    /** 4 GiB in 10,000 files, and a packed model of 512 MiB. */
    public static final Limits DEFAULT = new Limits(10_000, 1L << 32, 1L << 29);

    static final int LATEST = 1 << 14; // bytes of latest.json
    static final int MANIFEST = 1 << 24; // bytes of manifest.json

    final int files;
    final long total;
    final long model;

    private Limits(int files, long total, long model) {
        this.files = files;
        this.total = total;
        this.model = model;
    }

    /** Bytes of all files that are wanted. */
    public Limits withTotal(long bytes) {
        return new Limits(files, bytes, model);
    }

    /** Bytes of the model file that is made of a packed bundle. */
    public Limits withModel(long bytes) {
        return new Limits(files, total, bytes);
    }
}
