// SPDX-License-Identifier: Apache-2.0
package pocketrec.core;

import java.io.File;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * One user's state in memory, between its file and its event store: the rules of
 * device/state/session.py and kinds.py. This class knows nothing about models and training; its
 * caller makes sure that one thread at a time uses it.
 */
final class Session {
    private static final String FORGOTTEN =
            "events that it was trained on were forgotten, or the event store is another";

    /** The bundle, for this user. */
    Bundle bundle;

    /** User id; null = unnamed. */
    String user;

    /** The state; its history may end with events of the future. */
    PersonalState state;

    /** Why weights were left aside; "" = they were not. */
    String outdated = "";

    /** Where the history lies. */
    final StoreHistory history;

    final SharedFile file;

    /** Of the key of the state files; null = they lie in the clear. */
    final Seal seal;

    int epoch; // changes where history or weights are forgotten or replaced
    private final File path;
    private boolean tainted; // the file holds what is not to be kept

    /**
     * @param seal of the key of the state files; null = they lie in the clear
     */
    Session(Bundle bundle, String user, File path, HistoryStore store, Seal seal)
            throws PocketRecException {
        this.seal = seal;
        this.bundle = bundle.forUser(user);
        this.user = user;
        this.path = path;
        history = new StoreHistory(store);
        state = PersonalState.empty(user, 0);
        file = new SharedFile(path, state);
        if (path != null && States.exists(path)) {
            load();
        } else {
            refresh();
        }
    }

    // --- history ---

    /** The time after which an event lies in the future. */
    double limit() {
        return Clock.futureFrom(System.currentTimeMillis() / 1000.0, bundle.manifest.cutOff);
    }

    /** The state without events of the future. */
    PersonalState present() {
        int count = History.until(state.rawTimes(), limit());
        return count == state.rawTimes().length
                ? state
                : state.withHistory(
                        Arrays.copyOf(state.rawRows(), count),
                        Arrays.copyOf(state.rawTimes(), count),
                        Math.min(state.trained, count));
    }

    /**
     * Index of the first event that the global model has not seen: by time, or by number in a log
     * without a cut-off.
     */
    int since() throws PocketRecException {
        Double cutOff = bundle.manifest.cutOff;
        if (cutOff == null) {
            long known = user == null ? 0 : bundle.knownOf(user);
            int length = present().rawRows().length;
            return (int) Math.min(Math.max(0, known - history.dropped()), length);
        }
        int since = 0;
        for (double time : present().rawTimes()) {
            since += time < cutOff ? 1 : 0;
        }
        return since;
    }

    /** Adds events; gives how many are of items that the vocabulary lacks. */
    int add(List<Event> events) throws PocketRecException {
        history.record(events);
        int[] rows = rows(events);
        if (!history.outside()) {
            state = History.merged(state, events, rows, bundle.manifest.cutOff, limit());
            if (path != null) {
                file.changes.added.add(new Merging.Added(new ArrayList<>(events), rows));
            }
        }
        refresh();
        return (int) Arrays.stream(rows).filter(row -> row == Contract.PADDING).count();
    }

    /** Takes what is new in the store into the history. */
    void refresh() throws PocketRecException {
        if (history.outside()) {
            checkStore();
            state = history.refreshed(state, this);
        }
    }

    /** Leaves aside what comes from events that were forgotten meanwhile, by another perhaps. */
    private void checkStore() throws PocketRecException {
        if (history.restarted()) {
            outdated = FORGOTTEN;
            tainted = true;
            restart();
        }
    }

    /** Global weights and no history, in memory. */
    void restart() {
        epoch++;
        PersonalState.Change change = PersonalState.empty(user, state.generation).change();
        change.forgotten = file.changes.base.forgotten + 1;
        state = change.made();
        file.changes.clear();
        history.rewind();
    }

    /** Begins the history again, where the state holds it; the weights stay. */
    void clear() {
        epoch++;
        if (!history.outside()) {
            state = state.withoutHistory();
            file.changes.clear();
        }
    }

    /**
     * Takes what another saver has trained, where the history is the store's.
     *
     * @param newer whether it was trained after what is in memory
     */
    void takeLearned(PersonalState other, boolean newer) throws PocketRecException {
        PersonalState.Change change = state.change();
        change.generation = Math.max(state.generation, other.generation);
        if (newer && other.store.equals(history.identity()) && !tainted) {
            change.learnedFrom(other);
            state = change.made().withoutHistory();
            history.rewind();
            refresh();
        } else {
            state = change.made();
        }
    }

    /** Deletes events and all that was trained on them, in every file; gives how many events. */
    int forget(List<Event> wanted) throws PocketRecException {
        if (path == null || !States.exists(path)) {
            return forgotten(wanted);
        }
        try (FileLock lock = FileLock.of(path)) {
            file.takeOthers(this);
            return forgotten(wanted);
        }
    }

    private int forgotten(List<Event> wanted) throws PocketRecException {
        String before = outdated;
        PersonalState left =
                history.outside()
                        ? state.withoutHistory()
                        : History.without(state, wanted, rows(wanted));
        int gone =
                history.outside()
                        ? history.forget(wanted)
                        : state.rawRows().length - left.rawRows().length;
        checkStore(); // what went may have gone in an earlier call that could not end
        if (gone > 0 || tainted) {
            tainted = true;
            restart();
            outdated = before;
            state = state.withHistory(left.rawRows(), left.rawTimes(), 0);
            file.changes.added.add(new Merging.Added(events(left, bundle), left.rawRows()));
            refresh();
        }
        if (path != null) {
            gone += TaskStates.forget(path, wanted, bundle.manifest, seal);
        }
        if (path != null && States.exists(path)) {
            if (tainted) {
                save();
            } else {
                States.dropPrevious(path); // it may hold the events still
            }
        }
        return gone;
    }

    /** Rows of the events' items; 0 = unknown. */
    int[] rows(List<Event> events) {
        List<String> ids = new ArrayList<>();
        for (Event event : events) {
            ids.add(event.item);
        }
        bundle.vocabulary.learn(events);
        return bundle.vocabulary.rows(ids);
    }

    // --- the files ---

    /** Where the state of a task lies; null = there is no state file. */
    File pathOf(String task) {
        return path == null ? null : TaskStates.file(path, task);
    }

    File path() throws StateException {
        if (path == null) {
            throw new StateException(
                    "no state file was named: give one when the recommender is made");
        }
        return path;
    }

    /** Writes the state, together with what others have written there since it was read. */
    void save() throws PocketRecException {
        checkStore();
        try (FileLock lock = FileLock.of(path())) {
            file.takeOthers(this);
            write();
        }
    }

    private void write() throws PocketRecException {
        PersonalState.Change change = state.change();
        change.user = user == null ? "" : user;
        change.generation++;
        change.store = history.identity();
        change.items = new ArrayList<>();
        if (!history.outside()) {
            Arrays.stream(state.rawRows())
                    .sorted()
                    .distinct()
                    .forEach(row -> change.items.add(bundle.vocabulary.id(row)));
        }
        PersonalState next = change.made();
        StateFile.write(path(), next, StateBinding.of(bundle.manifest), !tainted, seal);
        state = next;
        tainted = false;
        file.agrees(state, file.signature());
    }

    /** Replaces history and weights by those of the file; where there is a store, by its events. */
    void load() throws PocketRecException {
        String mark = file.signature();
        PersonalState read;
        String aside = "";
        try {
            read = States.load(path(), bundle, seal);
        } catch (ForeignStateException error) {
            read = States.load(path(), null, seal);
            aside = "it was of another model";
        }
        if (user != null && !read.user.isEmpty() && !read.user.equals(user)) {
            throw new StateException(
                    path
                            + " is the state of user "
                            + read.user
                            + ": name that user, or another state file");
        }
        if (!history.outside() && !read.store.isEmpty()) {
            throw new StateException(
                    "the history of "
                            + path
                            + " lies in an event store: give that store, or reset the state");
        }
        String owner = user == null && !read.user.isEmpty() ? read.user : user;
        Bundle own = user == null ? bundle.forUser(owner) : bundle;
        if (aside.isEmpty()) {
            for (int row : read.rawRows()) {
                if (row > own.vocabulary.size()) {
                    throw new StateException(
                            path
                                    + " has items that this bundle lacks: name its own bundle or"
                                    + " another state");
                }
            }
        }
        bundle = own;
        user = owner;
        outdated = aside.isEmpty() ? outdated : aside;
        if (history.outside()) {
            read = ofStore(read);
        } else if (!aside.isEmpty()) {
            Carrying carried = Carrying.over(read, bundle);
            read = carried.state;
            outdated = aside + "; " + carried.told;
        }
        state = read;
        epoch++;
        file.agrees(state, mark);
        refresh();
        int past = History.until(state.rawTimes(), limit());
        if (state.trained > past) {
            state = state.withHistory(state.rawRows(), state.rawTimes(), past);
        }
    }

    /**
     * What a state file holds apart from the history; its weights only where they are of this model
     * and store.
     */
    private PersonalState ofStore(PersonalState read) throws PocketRecException {
        history.rewind();
        history.restarted(); // from here on the identity is known
        if (!read.store.isEmpty() && !read.store.equals(history.identity())) {
            outdated = FORGOTTEN;
            tainted = true;
        } else if (read.store.isEmpty() && outdated.isEmpty()) {
            read = handedOver(read);
        }
        return outdated.isEmpty()
                ? read.withoutHistory()
                : PersonalState.empty(user, read.generation);
    }

    /** Puts the history of a state that was made without a store into this one. */
    private PersonalState handedOver(PersonalState read) throws PocketRecException {
        List<Long> ids = history.taken(events(read, bundle));
        PersonalState.Change change = read.change();
        change.store = history.identity();
        boolean trained = read.trained > 0 && read.trained <= ids.size();
        change.through = trained ? ids.get(read.trained - 1) : 0;
        PersonalState next = change.made();
        if (ids.size() == read.rawRows().length) {
            StateFile.write(path(), next, StateBinding.of(bundle.manifest), true, seal);
        } else {
            outdated = "the event store held other events than the state";
        }
        return next;
    }

    /** Writes all events that are kept to a CSV file; gives their number. */
    int export(File file) throws PocketRecException {
        return history.outside()
                ? history.export(file)
                : Export.write(file, events(state, bundle));
    }

    /** Deletes everything personal; gives the files. */
    List<File> wipe() throws PocketRecException {
        List<File> deleted = history.wipe();
        if (path != null) {
            deleted.addAll(States.reset(path));
            deleted.addAll(TaskStates.wipe(path));
        }
        restart();
        state = PersonalState.empty(user, 0);
        tainted = false;
        outdated = "";
        file.agrees(state, file.signature());
        return deleted;
    }

    /** The events of a state that holds them. */
    static List<Event> events(PersonalState state, Bundle bundle) {
        List<Event> events = new ArrayList<>();
        for (int place = 0; place < state.rawRows().length; place++) {
            String item = bundle.vocabulary.id(state.rawRows()[place]);
            events.add(new Event(item, state.rawTimes()[place]));
        }
        return events;
    }
}
