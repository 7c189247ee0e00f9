// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.io.IOException;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;

/**
 * A history that goes over to a new model: rows of the old vocabulary become rows of the new one,
 * by item id. The rules of device/state/carrying.py. The weights of another model are of no use.
 */
final class Carrying {
    /** The state of the new model. */
    final PersonalState state;

    /** What became of the events, in a few words. */
    final String told;

    private Carrying(PersonalState state, String told) {
        this.state = state;
        this.told = told;
    }

    /**
     * The state of another model with its history in the rows of this bundle, and with the global
     * weights.
     *
     * @param state as its file holds it
     * @param bundle of the new model, for this user
     */
    static Carrying over(PersonalState state, Bundle bundle) {
        int[] old = state.rawRows();
        int[] distinct = Arrays.stream(old).sorted().distinct().toArray();
        int largest = distinct.length == 0 ? 0 : distinct[distinct.length - 1];
        int[] now;
        if (state.vocabulary.equals(bundle.manifest.vocabularySha256)
                && bundle.vocabulary.size() >= largest) {
            now = distinct;
        } else {
            List<String> ids = state.items;
            if (ids.isEmpty()) {
                ids = idsBeside(bundle.folder, state.vocabulary, distinct);
            }
            if (distinct.length > 0 && ids.isEmpty()) {
                return new Carrying(
                        begun(state).made(),
                        "its "
                                + old.length
                                + " events are lost, for it names no item ids and the old bundle is"
                                + " not here");
            }
            now = bundle.vocabulary.rows(ids);
        }
        int[] rows = new int[old.length];
        double[] times = new double[old.length];
        int count = 0;
        for (int place = 0; place < old.length; place++) {
            int row = now[Arrays.binarySearch(distinct, old[place])];
            if (row != Contract.PADDING) {
                rows[count] = row;
                times[count++] = state.rawTimes()[place];
            }
        }
        PersonalState.Change change = begun(state);
        change.rows = Arrays.copyOf(rows, count);
        change.times = Arrays.copyOf(times, count);
        int left = old.length - count;
        String leftOut =
                left == 0
                        ? ""
                        : ", " + left + " were left out, whose items the new model does not know";
        return new Carrying(
                change.made(), count + " events were carried over by item id" + leftOut);
    }

    private static PersonalState.Change begun(PersonalState state) {
        PersonalState.Change change = PersonalState.empty(state.user, state.generation).change();
        change.forgotten = state.forgotten;
        return change;
    }

    /**
     * Ids of rows by the vocabulary of that hash in a folder beside the bundle's; empty where there
     * is none.
     */
    private static List<String> idsBeside(File folder, String sha256, int[] rows) {
        File[] folders = folder.getAbsoluteFile().getParentFile().listFiles();
        folders = folders == null ? new File[0] : folders;
        Arrays.sort(folders);
        for (File one : folders) {
            File file = new File(one, Contract.ITEMS_FILE);
            try {
                if (!file.isFile() || !Storage.sha256(file).equals(sha256)) {
                    continue;
                }
                int lines = 0;
                for (byte letter : Storage.read(file)) {
                    lines += letter == '\n' ? 1 : 0;
                }
                Vocabulary vocabulary = new Vocabulary(file, lines);
                List<String> ids = new ArrayList<>();
                for (int row : rows) {
                    ids.add(row <= lines ? vocabulary.id(row) : "");
                }
                return ids;
            } catch (IOException | BundleException error) {
                // another one may do
            }
        }
        return Collections.emptyList();
    }
}
