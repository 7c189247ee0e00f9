// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;

/**
 * What a device keeps of one user in one task: a state file of its own, bound to model, task and
 * patch; the rules of device/state/task_state.py. A new patch, or a new model, makes the weights of
 * no use; the targets go over to it by item id.
 */
final class TaskStates {
    private static final String MARK = ".task-";
    private static final String PREVIOUS = ".previous";

    private TaskStates() {}

    /** Where the state of a task lies, beside a user's state file. */
    static File file(File path, String task) {
        return new File(path.getAbsoluteFile().getParentFile(), path.getName() + MARK + task);
    }

    /** The state files of all tasks beside a user's, without previous generations. */
    private static List<File> files(File path) {
        File folder = path.getAbsoluteFile().getParentFile();
        String[] names = folder.list((where, name) -> name.startsWith(path.getName() + MARK));
        TreeSet<String> found = new TreeSet<>();
        for (String name : names == null ? new String[0] : names) {
            boolean previous = name.endsWith(PREVIOUS);
            found.add(previous ? name.substring(0, name.length() - PREVIOUS.length()) : name);
        }
        List<File> files = new ArrayList<>();
        for (String name : found) {
            files.add(new File(folder, name));
        }
        return files;
    }

    /** A state as it was read, and why its weights were left aside; "" = they were not. */
    static final class Read {
        final PersonalState state;
        final String outdated;

        Read(PersonalState state, String outdated) {
            this.state = state;
            this.outdated = outdated;
        }
    }

    /**
     * Reads the state of a task.
     *
     * @throws StateException the file is damaged, or sealed with another key
     */
    static Read load(File path, Manifest manifest, Patch patch, Seal seal)
            throws StateException {
        if (!States.exists(path)) {
            return new Read(PersonalState.empty(null, 0), "");
        }
        try {
            return new Read(StateFile.read(path, StateBinding.of(manifest, patch), seal), "");
        } catch (ForeignStateException error) {
            // its targets are of use
        }
        PersonalState old = StateFile.read(path, null, seal);
        Map<Integer, String> ids = ids(old);
        int[] rows = new int[old.rawRows().length];
        double[] times = new double[rows.length];
        int count = 0;
        for (int place = 0; place < rows.length; place++) {
            int row = patch.ids.indexOf(ids.get(old.rawRows()[place])) + 1;
            if (row > 0) {
                rows[count] = row;
                times[count++] = old.rawTimes()[place];
            }
        }
        PersonalState carried =
                PersonalState.empty(old.user, old.generation)
                        .withHistory(Arrays.copyOf(rows, count), Arrays.copyOf(times, count), 0);
        return new Read(
                carried,
                "it was of another patch; " + count + " events were carried over by item id");
    }

    /**
     * Writes the state of a task in one step; gives it as written.
     *
     * @throws StorageException it could not be written, and the old one is still good
     */
    static PersonalState save(
            File path, PersonalState state, Manifest manifest, Patch patch, Seal seal)
            throws StorageException {
        PersonalState.Change change = state.change();
        change.generation++;
        change.items = new ArrayList<>();
        Arrays.stream(state.rawRows())
                .sorted()
                .distinct()
                .forEach(row -> change.items.add(patch.ids.get(row - 1)));
        PersonalState next = change.made();
        StateFile.write(path, next, StateBinding.of(manifest, patch), true, seal);
        return next;
    }

    /**
     * Deletes events in the states of all tasks beside a user's, and every personal patch: what is
     * forgotten was context to them.
     *
     * @return how many events went
     */
    static int forget(File path, List<Event> wanted, Manifest manifest, Seal seal)
            throws PocketRecException {
        int gone = 0;
        for (File file : files(path)) {
            if (!States.exists(file)) {
                continue;
            }
            try (FileLock lock = FileLock.of(file)) {
                PersonalState old = StateFile.read(file, null, seal);
                Map<Integer, String> ids = ids(old);
                int[] rows = new int[old.rawRows().length];
                double[] times = new double[rows.length];
                int count = 0;
                for (int place = 0; place < rows.length; place++) {
                    int row = old.rawRows()[place];
                    double time = old.rawTimes()[place];
                    if (!among(wanted, ids.get(row), time)) {
                        rows[count] = row;
                        times[count++] = time;
                    }
                }
                gone += rows.length - count;
                PersonalState.Change left = PersonalState.empty(old.user, 0).change();
                left.generation = old.generation + 1;
                left.rows = Arrays.copyOf(rows, count);
                left.times = Arrays.copyOf(times, count);
                left.items = new ArrayList<>();
                Arrays.stream(left.rows)
                        .sorted()
                        .distinct()
                        .forEach(row -> left.items.add(ids.get(row)));
                // Bound to no patch: it is read as a foreign one.
                StateFile.write(file, left.made(), StateBinding.of(manifest), false, seal);
            }
        }
        return gone;
    }

    private static boolean among(List<Event> wanted, String item, double time) {
        for (Event one : wanted) {
            if (one.item.equals(item) && (one.time == null || one.time == time)) {
                return true;
            }
        }
        return false;
    }

    /** Item id of each row, where the state notes them. */
    private static Map<Integer, String> ids(PersonalState state) {
        int[] rows = Arrays.stream(state.rawRows()).sorted().distinct().toArray();
        Map<Integer, String> ids = new HashMap<>();
        for (int place = 0; place < rows.length && rows.length == state.items.size(); place++) {
            ids.put(rows[place], state.items.get(place));
        }
        return ids;
    }

    /** Deletes the states of all tasks beside a user's; gives the files. */
    static List<File> wipe(File path) throws PocketRecException {
        List<File> deleted = new ArrayList<>();
        for (File file : files(path)) {
            deleted.addAll(States.reset(file));
        }
        return deleted;
    }
}
