// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;

/** Titles of a bundle's items, for people; looked up in the file itself, as the ids are. */
final class Titles {
    /** Name of the file in a bundle: line i, from 1, is the title of item row i. */
    static final String FILE = "titles.txt";

    private final File folder;
    private final Manifest manifest;
    private Vocabulary lines;

    Titles(File folder, Manifest manifest) {
        this.folder = folder;
        this.manifest = manifest;
    }

    /**
     * The title of each row; "" of a row that has none, or is not of the file.
     *
     * @throws BundleException the file is missing or damaged
     */
    synchronized String[] of(int[] rows) throws BundleException {
        String[] titles = new String[rows.length];
        if (lines == null && manifest.files.containsKey(FILE)) {
            lines = new Vocabulary(new File(folder, FILE), manifest.items);
        }
        for (int place = 0; place < rows.length; place++) {
            boolean has = lines != null && rows[place] >= 1 && rows[place] <= lines.size();
            titles[place] = has ? lines.id(rows[place]) : "";
        }
        return titles;
    }
}
